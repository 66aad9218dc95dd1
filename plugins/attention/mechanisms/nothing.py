"""No attention: the paper's "w/o"."""

from __future__ import annotations

from typing import ClassVar

from plugins.attention.core.mechanism import Mechanism, Places

__all__ = ["Nothing"]


class Nothing(Mechanism):
    """The network without the module, which is not the module without a term (``0000``)."""

    name = "none"
    formula = "no module"
    paper = "Zhu et al. 2019, An Empirical Study of Spatial Attention Mechanisms in Deep Networks"
    url = "https://arxiv.org/abs/1904.05873"
    places: ClassVar[Places] = {}
    uses = frozenset({"heads", "kv_stride"})  # it uses neither, but the ids of its runs hash both
