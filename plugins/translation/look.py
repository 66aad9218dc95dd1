"""Which tokens a trained translation model looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from fairseq import checkpoint_utils
from torch import Tensor

from plugins.contracts.job import Job
from plugins.translation.attention import Attention
from plugins.translation.checkpoints import newest_readable
from plugins.translation.sites import parts
from plugins.translation.train import build
from plugins.translation.unit import AttentionUnit

__all__ = ["look"]


def look(job: Job, source: str, query: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """Translate a sentence and return the attention of every layer at the run's sites.

    Parameters
    ----------
    job: Job
        The run; the weights are those of its newest readable checkpoint.
    source: str
        A sentence in the source language.
    query: None
        All queries are shown: sentences are short.

    Returns
    -------
    dict of numpy.ndarray
        ``source`` and ``target``, the tokens as strings; for each layer ``<name>/weights``
        (M, T, S), adding up to 1 over S.

    Raises
    ------
    ValueError
        If there is no checkpoint, or the mechanism has no weights to look at.
    """
    import sentencepiece

    _, task, model = build(job)
    checkpoint = newest_readable(job.folder / "checkpoints")
    if checkpoint is None:
        raise ValueError(f"{job.folder / 'checkpoints'} has no checkpoint: train the run first")
    model.load_state_dict(checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint))["model"])
    model.eval()
    pieces = sentencepiece.SentencePieceProcessor(str(next(job.data.glob("*.model"))))
    line = " ".join(pieces.encode(source, out_type=str))
    words = task.source_dictionary.encode_line(line, add_if_not_exist=False).long()[None]
    most = task.max_positions()[0]
    if words.shape[1] > most:
        raise ValueError(f"the sentence has {words.shape[1]} units; the model reads {most}")
    lengths = torch.tensor([words.shape[1]])
    generator = task.build_generator([model], _Search())
    sample = {"net_input": {"src_tokens": words, "src_lengths": lengths}}
    best = task.inference_step(generator, [model], sample)[0][0]["tokens"]
    # The decoder gets its own output shifted: the end mark, then all tokens but the last.
    given = torch.cat([best[-1:], best[:-1]])[None]
    seen: dict[str, dict[str, Tensor]] = {}
    for name, module in model.named_modules():
        if isinstance(module, AttentionUnit) and module.part in parts(job.sites):
            module.attend = _remembering(module, name, seen)  # type: ignore[method-assign]
    with torch.no_grad():
        model(words, lengths, given)
    if not seen:
        raise ValueError(f"{job.mechanism} at {', '.join(job.sites)} has no weights to look at")
    arrays = {
        "source": np.array(_tokens(task.source_dictionary, words[0])),
        "target": np.array(_tokens(task.target_dictionary, best)),
    }
    for name, found in seen.items():
        queries = words if name.startswith("encoder") else given
        for key, value in found.items():
            shown = value.expand(-1, -1, queries.shape[1], -1) if value.dim() == 4 else value
            arrays[f"{name}/{key}"] = shown[0].float().numpy()
    return arrays


class _Search:
    """Beam search of an ordinary width; its exact output does not matter here."""

    beam, max_len_a, max_len_b = 4, 1, 50


def _remembering(unit: AttentionUnit, name: str, seen: dict[str, dict[str, Tensor]]) -> Any:
    attend = unit.attend

    def remember(*arguments: Any) -> Any:
        query, memory, padding, state, causal, _ = arguments
        out, weights = attend(query, memory, padding, state, causal, True)
        found = {} if weights is None else {"weights": weights}
        if weights is None and isinstance(unit, Attention):
            inputs = [query] if memory is None else [query, memory]
            module: Any = unit.attention
            found = module.mechanism.weights(module, *inputs)
        if found:
            seen[name] = found
        return out, weights

    return remember


def _tokens(dictionary: Any, indices: Tensor) -> list[str]:
    return [dictionary[index] for index in indices.tolist()]
