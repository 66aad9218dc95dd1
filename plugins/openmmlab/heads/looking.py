"""What parts of MMSegmentation's heads weigh."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.models.decode_heads.da_head import PAM
from mmseg.models.decode_heads.dnl_head import DisentangledNonLocal2d
from torch import Tensor, nn

from plugins.attention.maps.rows import rows_of

__all__ = ["weights"]


def weights(part: nn.Module, x: Tensor, queries: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
    """Return the weights (N, 1, queries, H, W) of some positions of a map, if there are any."""
    index, size = rows_of(x, queries), x.shape[-2:]
    if isinstance(part, PAM):
        query, key = part.query_project(x).flatten(2), part.key_project(x).flatten(2)
        energy = query[..., index].mT @ key
        return {"weights": energy.softmax(2).unflatten(2, size).unsqueeze(1)}
    if isinstance(part, DisentangledNonLocal2d):
        query, key = part.theta(x).flatten(2), part.phi(x).flatten(2)
        query, key = query - query.mean(2, keepdim=True), key - key.mean(2, keepdim=True)
        energy = query[..., index].mT @ key / (query.shape[1] ** 0.5 * part.temperature)
        common = part.conv_mask(x).flatten(2).softmax(2).unflatten(2, size)
        return {
            "weights": energy.softmax(2).unflatten(2, size).unsqueeze(1),
            "mask": common.squeeze(1),
        }
    return {}
