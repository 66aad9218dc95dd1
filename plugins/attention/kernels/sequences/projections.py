"""What generalized attention over sequences projects, in as few products as there can be."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from plugins.attention.kernels.constants import filled
from plugins.attention.kernels.sequences.block import Block1d
from plugins.attention.kernels.shared import by_row

__all__ = ["Projected", "fold", "linear", "project", "project_query", "score_of_memory"]


class Projected(NamedTuple):
    """Projections by head; None where no term needs one.

    Attributes
    ----------
    query: Tensor, optional
        (N, M, T, d). It has the bias that `query_bias` says.
    key: Tensor, optional
        (N, M, S, d), with E1.
    score: Tensor, optional
        (N, M, S), E3 without E1.
    value: Tensor
        (N, M, S, d).
    """

    query: Tensor | None
    key: Tensor | None
    score: Tensor | None
    value: Tensor


def project(block: Block1d, query: Tensor, memory: Tensor, rows: Tensor | None = None) -> Projected:
    """Project `query` (N, T, C) and `memory` (N, S, key_channels), which may be the same tensor.

    With `rows` (N,) there are fewer of the latter, and these are the numbers of those that each
    query has.
    """
    found: dict[str, Tensor] = {}
    of_query: dict[str, tuple[Tensor, Tensor | None]] = {}
    if block.e1 or block.e2:
        of_query["query"] = block.q_proj.weight, query_bias(block)
    of_memory: dict[str, tuple[Tensor, Tensor | None]] = {}
    if block.e1:
        of_memory["key"] = block.k_proj.weight, None
    of_memory["value"] = block.v_proj.weight, block.v_proj.bias
    if block.e3 and not block.e1:
        of_memory["score"] = _of_score(block), None
    if query is memory and rows is None:
        found = _products(query, of_query | of_memory)
    else:
        made = _products(memory, of_memory)
        found = _products(query, of_query) | {name: by_row(x, rows) for name, x in made.items()}
    score = found.get("score")
    heads = {name: block.split_heads(found[name]) for name in found if name != "score"}
    score = None if score is None else score.transpose(1, 2)
    return Projected(heads.get("query"), heads.get("key"), score, heads["value"])


def query_bias(block: Block1d) -> Tensor | None:
    """The bias of the projected query, (C,): v for E4 beside E2, else u for E3 beside E1."""
    if block.e2:
        return block.geom_bias if block.e4 else None
    return block.appr_bias if block.e3 else None


def project_query(block: Block1d, query: Tensor) -> Tensor | None:
    """Project (N, T, C) alone to (N, M, T, d); None if no term needs it."""
    if not (block.e1 or block.e2):
        return None
    return block.split_heads(linear(query, block.q_proj.weight, query_bias(block)))


def score_of_memory(block: Block1d, memory: Tensor) -> Tensor | None:
    """E3 alone, (N, M, S): u.(V x) is computed as (u V).x, which needs no keys."""
    if block.e1 or not block.e3:
        return None
    return linear(memory, _of_score(block), None).transpose(1, 2)


def _of_score(block: Block1d) -> Tensor:
    return fold(block.appr_bias * block.scale, block.k_proj.weight, block.heads)


def fold(bias: Tensor, weight: Tensor, heads: int) -> Tensor:
    """Product of a bias and the projection that it meets, (M, features)."""
    return (bias.view(heads, 1, -1) @ weight.unflatten(0, (heads, -1))).squeeze(1)


def _products(x: Tensor, by: dict[str, tuple[Tensor, Tensor | None]]) -> dict[str, Tensor]:
    """Multiply (N, T, features) with several matrices; a bias that is None is 0.

    With gradients this is one product, so that one product each serves `x` and the matrices in the
    backward pass. Without, joining the matrices takes as long as what it would save.
    """
    if len(by) < 2 or not torch.is_grad_enabled():
        return {name: linear(x, weight, bias) for name, (weight, bias) in by.items()}
    weights = [weight for weight, _ in by.values()]
    biases = [
        filled(weight.shape[0], 0.0, weight.dtype, weight.device) if bias is None else bias
        for weight, bias in by.values()
    ]
    out = linear(x, torch.cat(weights), torch.cat(biases))
    parts = out.split([weight.shape[0] for weight in weights], dim=-1)
    return dict(zip(by, parts, strict=True))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear`` of (N, T, C), which also lies in memory as (T, N, C) does, without a copy.

    fairseq's layers have time first. The result lies as `x` does.
    """
    time_first = not x.is_contiguous()
    rows = x.transpose(0, 1) if time_first else x
    out = F.linear(rows.flatten(0, 1), weight, bias).unflatten(0, rows.shape[:2])
    return out.transpose(0, 1) if time_first else out
