"""Calculates with the Triton kernels in Triton's interpreter, or compiles them for a GPU.

A process of its own, as Triton decides when it is imported whether it interprets: ``kernels.py
interpret`` or ``kernels.py assemble``. Writes JSON: what :mod:`test_attend_kernels` holds to.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys

if sys.argv[1:] == ["interpret"]:
    os.environ["TRITON_INTERPRET"] = "1"

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from triton.knobs import nvidia

from plugins.attention.kernels.attend import Window, in_torch, in_triton, launch
from plugins.attention.kernels.attend.inputs import Inputs

HEADS = 2


def heads_last(batch, outer, inner, features):
    return torch.randn(batch, outer, inner, HEADS, features).permute(0, 3, 1, 2, 4)


def example(grid, keys, widths, parts, batch=2):
    """The tensors of `Inputs`, without scale and window, laid out as the modules have them."""
    given = parts.split()
    key_width, features = widths
    content = "query" in given
    outer = torch.randn(HEADS, grid[0], batch, grid[1], keys[0]).permute(2, 0, 1, 3, 4)
    inner = torch.randn(HEADS, grid[1], batch, grid[0], keys[1]).permute(2, 0, 3, 1, 4)
    if "shared" in given:  # by all queries of a row, and by all images
        outer = torch.randn(1, HEADS, grid[0], 1, keys[0]).expand(batch, -1, -1, grid[1], -1)
    if "shifted" in given:  # as the relative positions of a sequence are
        offsets = torch.randn(batch, HEADS, grid[1], grid[1] + keys[1])
        inner = offsets.as_strided(
            (batch, HEADS, 1, grid[1], keys[1]),
            (*offsets.stride()[:2], 0, grid[1] + keys[1] - 1, 1),
            grid[1],
        )
    score = torch.randn(batch, *keys, HEADS).permute(0, 3, 1, 2)
    if "padded" in given:
        score = torch.zeros(batch, 1, *keys)
        score[-1, ..., keys[1] // 2 :] = -math.inf
        score = score.expand(-1, HEADS, -1, -1)
    return [
        heads_last(batch, *grid, key_width) if content else None,
        heads_last(batch, *keys, key_width) if content else None,
        heads_last(batch, *keys, features),
        outer if "outer" in given else None,
        inner if "inner" in given else None,
        score if "score" in given else None,
        torch.randn(HEADS, key_width) if "bias" in given else None,
    ]


CASES = {
    # name: grid, keys, widths, parts, window
    "1111": ((4, 5), (3, 5), (16, 16), "query bias outer inner", None),
    "1001": ((5, 6), (2, 6), (8, 8), "query outer inner shared", None),
    "0110": ((6, 5), (3, 3), (8, 24), "outer inner score", None),
    "0100, more keys than a block": ((2, 3), (2, 70), (8, 5), "outer inner", None),
    "1100, inner axis first": ((2, 5), (16, 17), (20, 20), "query outer inner", None),
    "query blocks": ((5, 9), (2, 9), (32, 32), "query bias outer inner score", None),
    "one row of one key": ((1, 1), (1, 1), (3, 3), "query outer inner", None),
    "range": ((5, 8), (5, 8), (16, 16), "query outer inner", Window(1, 1, 0, -2, 2)),
    "range, strides": ((7, 6), (4, 3), (16, 16), "query outer inner", Window(1, 2, 0, -3, 3)),
    "range, fewer queries": ((4, 5), (8, 10), (8, 8), "outer inner", Window(2, 1, 0, -1, 1)),
    "range, inner axis first":
        ((4, 17), (16, 17), (8, 8), "query outer inner", Window(1, 1, 0, -4, 4)),
    "sequence": ((1, 37), (1, 37), (16, 16), "query bias inner shifted", None),
    "causal": ((1, 40), (1, 40), (16, 16), "query inner shifted", Window(nearest=0)),
    "causal, padded": ((1, 19), (1, 19), (8, 8), "query inner score padded", Window(nearest=0)),
    "a step of decoding": ((1, 1), (1, 9), (8, 8), "query inner", Window(first=8, nearest=0)),
    "cross": ((1, 11), (1, 35), (8, 8), "query score padded", None),
    "nothing seen": ((1, 9), (1, 4), (8, 8), "query inner", Window(1, 1, 20, -1, 1)),
}  # fmt: skip


def interpreted(name, kind="float32"):
    """Deviations from the torch form in float64 of the result and of each gradient."""
    grid, keys, widths, parts, window = CASES[name]
    torch.manual_seed(0)
    tensors, scale = example(grid, keys, widths, parts), 0.7
    half = getattr(torch, kind)
    tensors[:3] = (None if tensor is None else tensor.to(half) for tensor in tensors[:3])
    seed = heads_last(len(tensors[2]), *grid, widths[1]).to(half)
    exact = [None if tensor is None else tensor.double() for tensor in tensors]
    given, exact = Inputs(*tensors, scale, window), Inputs(*exact, scale, window)
    wanted, right = in_torch.forward(exact), in_torch.backward(seed.double(), exact, True)
    out, total = launch.forward(given)
    grads = launch.backward(seed, given, out, total, True)

    def deviation(found, exact, largest):
        assert (found is None) == (exact is None)
        if found is None:
            return 0.0
        assert found.shape == exact.shape
        assert found.stride() == exact.stride()
        return float((found - exact).abs().max()) / max(largest, 1e-30)

    # Some gradient may be 0 but for rounding, as that of a lonely key's energy.
    largest = max(float(grad.abs().max()) for grad in right if grad is not None)
    of_gradients = [deviation(*pair, largest) for pair in zip(grads, right, strict=True)]

    return {
        "deviations": [deviation(out, wanted, float(wanted.abs().max())), *of_gradients],
        "types": all(
            grad is None or grad.dtype == tensor.dtype
            for grad, tensor in zip(grads, tensors, strict=False)
        ),
    }


def assembled(kernel, kind, width, capability, **switches):
    """Bytes that a kernel compiled for a GPU spills to memory, and its atomic operations."""
    function = getattr(in_triton, kernel)
    blocks = launch.blocks_of(getattr(torch, kind), width, 4200, 50)
    constants = {
        "D": width, "E": width, "BD": width, "BE": width, "BM": blocks.queries, "BI": blocks.keys,
        "CONTENT": True, "BIASED": True, "HAS_OUTER": True, "HAS_INNER": True, "HAS_SCORE": False,
        "WINDOW": False, "SWAP": False, "PRECISION": "ieee", "WANTS_SCORE": False, **switches,
    }  # fmt: skip
    single = {"OUTER", "INNER", "SCORE", "BIAS", "TOTAL", "DELTA", "D_OUTER", "D_INNER", "D_SCORE"}
    own = {"bfloat16": "*bf16", "float16": "*fp16", "float32": "*fp32"}[kind]
    signature, aligned = {}, {}
    for number, name in enumerate(function.arg_names):
        if name in constants:
            signature[name] = "constexpr"
            continue
        if name.isupper():
            signature[name] = "*fp32" if name in single else own
        else:
            signature[name] = "fp32" if name == "scale" else "i32"
        if name.isupper() or name.endswith(("_p", "_b")):
            aligned[(number,)] = [["tt.divisibility", 16]]
    constants = {name: value for name, value in constants.items() if name in signature}
    code = compile(
        ASTSource(function, signature, constants, aligned),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": blocks.warps, "num_stages": blocks.stages},
    ).asm["ptx"]
    # The newer of the two assemblers that Triton brings reads what it writes for any GPU.
    assembler = getattr(nvidia, "ptxas_blackwell", nvidia.ptxas).path
    report = subprocess.run(
        [assembler, "-v", f"--gpu-name=sm_{capability}{'a' if capability == 90 else ''}",
         "-", "-o", os.devnull],
        input=code, capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    lines = (line.strip() for line in code.splitlines())
    atomic = [line for line in lines if line.startswith(("atom.", "red."))]
    (spilled,) = re.findall(r"(\d+) bytes spill loads", report)
    return {"spilled": int(spilled), "atomic": atomic}


KERNELS = ("forward", "backward_queries", "backward_keys")


def main() -> None:
    """Write the results of all cases, by name."""
    results = {}
    if sys.argv[1] == "interpret":
        results = {name: interpreted(name) for name in CASES}
        for kind in ("bfloat16", "float16"):
            results[kind] = interpreted("query blocks", kind)
    else:
        sequence = {"HAS_OUTER": False, "HAS_SCORE": True, "WINDOW": True}
        for kernel in KERNELS:
            # Heads of conv4 and conv5 of a ResNet-50, and of a Transformer on an older GPU.
            results[f"{kernel}, Hopper, bfloat16"] = assembled(kernel, "bfloat16", 32, 90)
            results[f"{kernel}, Hopper, float32"] = assembled(kernel, "float32", 64, 90)
            results[f"{kernel}, Ampere"] = assembled(kernel, "float16", 64, 80, **sequence)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
