"""No attention: the paper's "w/o"."""

from __future__ import annotations

from plugins.attention.core.registry import Registered, register

__all__ = ["Nothing"]


@register("none")
class Nothing(Registered):
    """The network without the module, which is not the module without a term (``0000``)."""

    formula = "no module"
    paper = "Zhu et al. 2019, An Empirical Study of Spatial Attention Mechanisms in Deep Networks"
    url = "https://arxiv.org/abs/1904.05873"
