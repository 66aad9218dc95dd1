"""The mechanisms of spatial attention, in torch alone.

The notation is that of Zhu et al., "An Empirical Study of Spatial Attention Mechanisms in Deep
Networks", https://arxiv.org/abs/1904.05873: a mechanism is written as four bits, one for each
term of the energy, see :class:`plugins.attention.mechanism.Mechanism`.

Names are imported on first use, so that reading a mechanism's name does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugins.attention.deformable import DeformableConv1d, DeformableConv2d
    from plugins.attention.dynamic import DynamicConv1d, DynamicConv2d
    from plugins.attention.generalized1d import GeneralizedAttention1d
    from plugins.attention.generalized2d import GeneralizedAttention2d
    from plugins.attention.mechanism import Mechanism

__all__ = [
    "DeformableConv1d",
    "DeformableConv2d",
    "DynamicConv1d",
    "DynamicConv2d",
    "GeneralizedAttention1d",
    "GeneralizedAttention2d",
    "Mechanism",
]

_HOME = {
    "DeformableConv1d": "deformable",
    "DeformableConv2d": "deformable",
    "DynamicConv1d": "dynamic",
    "DynamicConv2d": "dynamic",
    "GeneralizedAttention1d": "generalized1d",
    "GeneralizedAttention2d": "generalized2d",
    "Mechanism": "mechanism",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
