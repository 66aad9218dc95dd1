"""What is compared on a GPU. Imports no torch.

Shapes are those of a training step on one GPU: two images of 800 x 1333 pixels, and 8192 tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from plugins.attention.core.word import TERM_SETS
from study.benchmarks.cases import KERNEL_SIZES, WRONG_IN_MMCV, Case

__all__ = ["PRECISIONS", "gpu_cases", "settings"]

PRECISIONS = ("bfloat16", "float32")

LENGTHS, TOKENS, WIDTH = (32, 128, 512), 8192, 512


def gpu_cases(quick: bool, flex: bool) -> list[Case]:
    """Return every case, a setting's side by side.

    Parameters
    ----------
    quick: bool
        Those of one small map and one short length.
    flex: bool
        FlexAttention's too, which torch compiles for each shape, and that takes long.
    """
    if quick:
        return [*_on_maps("small", 32, 10, 12, flex), *_on_sequences(8, 64, 32)]
    cases = [*_on_maps("conv4", 256, 50, 84, flex), *_on_maps("conv5", 512, 25, 42, flex)]
    for length in LENGTHS:
        cases += _on_sequences(length, TOKENS, WIDTH)
    return cases


def settings(cases: list[Case]) -> list[list[Case]]:
    """Return the cases in groups that have ours in common, which is then measured once."""
    groups: dict[tuple[str, str | None], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.ours, case.precision), []).append(case)
    return list(groups.values())


def _on_maps(place: str, channels: int, height: int, width: int, flex: bool) -> Iterator[Case]:
    shape = (2, channels, height, width)
    side = round(math.sqrt(height * width))
    for precision in PRECISIONS:
        for stride in (1, 2):
            for terms in TERM_SETS:
                on = (2, channels, side, side) if terms in WRONG_IN_MMCV else shape
                references = ["mmcv", "dense-form"]
                if terms == "1000":
                    references.append("sdpa")
                if flex and (terms[1] == "1" or terms[3] == "1"):
                    references.append("flex")
                for each in references:
                    yield Case(each, terms, place, on, stride, precision=precision)
        for each in ("mmcv-dcn", "conv"):
            yield Case(each, "deformable", place, shape, precision=precision)


def _on_sequences(length: int, tokens: int, width: int) -> Iterator[Case]:
    place, shape = f"T={length}", (tokens // length, length, width)
    for causal in (False, True):
        for terms in TERM_SETS:
            for each in ("dense-form", "fairseq") if terms == "1000" else ("dense-form",):
                yield Case(each, terms, place, shape, causal=causal, precision="bfloat16")
    for taps in KERNEL_SIZES:
        for precision in PRECISIONS:
            yield Case("fairseq", f"dynamic-{taps}", place, shape, precision=precision)
