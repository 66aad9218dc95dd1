"""The mechanisms of spatial attention, in torch alone.

The notation is that of Zhu et al., "An Empirical Study of Spatial Attention Mechanisms in Deep
Networks", https://arxiv.org/abs/1904.05873: a mechanism is written as four bits, one for each
term of the energy, see :class:`plugins.attention.core.word.Word`. A mechanism of one's own derives
from :class:`plugins.attention.core.mechanism.Mechanism`, see ``docs/mechanisms.md``.

Names are imported on first use, so that reading a mechanism's name does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugins.attention.core.closed_form import ClosedForm
    from plugins.attention.core.mechanism import Mechanism
    from plugins.attention.core.sequence import SequenceModule
    from plugins.attention.core.site import MapSite, PairSite, Place, SequenceSite
    from plugins.attention.core.standing import build
    from plugins.attention.core.word import Word
    from plugins.attention.maps.deformable import DeformableConv2d
    from plugins.attention.maps.dynamic import DynamicConv2d
    from plugins.attention.maps.generalized import GeneralizedAttention2d
    from plugins.attention.sequences.deformable import DeformableConv1d
    from plugins.attention.sequences.dynamic import DynamicConv1d
    from plugins.attention.sequences.generalized import GeneralizedAttention1d

__all__ = [
    "ClosedForm",
    "DeformableConv1d",
    "DeformableConv2d",
    "DynamicConv1d",
    "DynamicConv2d",
    "GeneralizedAttention1d",
    "GeneralizedAttention2d",
    "MapSite",
    "Mechanism",
    "PairSite",
    "Place",
    "SequenceModule",
    "SequenceSite",
    "Word",
    "build",
]

_HOME = {
    "ClosedForm": "core.closed_form",
    "DeformableConv1d": "sequences.deformable",
    "DeformableConv2d": "maps.deformable",
    "DynamicConv1d": "sequences.dynamic",
    "DynamicConv2d": "maps.dynamic",
    "GeneralizedAttention1d": "sequences.generalized",
    "GeneralizedAttention2d": "maps.generalized",
    "MapSite": "core.site",
    "Mechanism": "core.mechanism",
    "PairSite": "core.site",
    "Place": "core.site",
    "SequenceModule": "core.sequence",
    "SequenceSite": "core.site",
    "Word": "core.word",
    "build": "core.standing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
