"""The heads by their words. Imports no framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plugins.attention.core.closed_form import ClosedForm
from plugins.openmmlab.heads import cost

__all__ = ["HEADS", "Shipped"]


@dataclass(frozen=True)
class Shipped:
    """A head as MMSegmentation ships it.

    Attributes
    ----------
    config: str
        File in its folder ``_base_/models``, without the ending ``_r50-d8.py``.
    formula, paper, url: str
        See :class:`~plugins.attention.core.mechanism.Mechanism`.
    parts: tuple of str
        Modules of the head, as ``fnmatch`` patterns, that count as the mechanism; the others do
        what those of the FCN head do. ``""`` is the head itself.
    cost: callable
        Takes height and width of the map, the channels of the head and those of the backbone;
        returns the closed form of `parts`.
    images: int
        How many must be normalised together in training, at least.
    """

    config: str
    formula: str
    paper: str
    url: str
    parts: tuple[str, ...]
    cost: Callable[[int, int, int, int], ClosedForm]
    images: int = 1


ARXIV = "https://arxiv.org/abs/"
CVF = "https://openaccess.thecvf.com/content_"

HEADS = {
    "ann": Shipped(
        "ann", "softmax_k(q·k), k of pooled maps",
        "Zhu et al. 2019, Asymmetric Non-local Neural Networks for Semantic Segmentation",
        f"{ARXIV}1908.07678", ("fusion", "context"), cost.ann,
    ),
    "apc": Shipped(
        "apcnet", "σ(w_k·(x_q + mean)), k of pooled maps",
        "He et al. 2019, Adaptive Pyramid Context Network for Semantic Segmentation",
        f"{CVF}CVPR_2019/html/He_Adaptive_Pyramid_Context_Network_for_Semantic_Segmentation_CVPR_"
        "2019_paper.html",
        ("acm_modules.?",), cost.apc, images=2,
    ),
    "aspp": Shipped(
        "deeplabv3", "convolutions of dilation 12, 24, 36; mean",
        "Chen et al. 2017, Rethinking Atrous Convolution for Semantic Image Segmentation",
        f"{ARXIV}1706.05587", ("image_pool", "aspp_modules"), cost.aspp, images=2,
    ),
    "danet": Shipped(
        "danet", "softmax_k(q·k); the same of channels",
        "Fu et al. 2019, Dual Attention Network for Scene Segmentation",
        f"{ARXIV}1809.02983", ("pam", "cam"), cost.danet,
    ),
    "dm": Shipped(
        "dmnet", "convolutions by filters that are pooled maps",
        "He et al. 2019, Dynamic Multi-scale Filters for Semantic Segmentation",
        f"{CVF}ICCV_2019/html/He_Dynamic_Multi-Scale_Filters_for_Semantic_Segmentation_ICCV_2019_"
        "paper.html",
        ("dcm_modules.?",), cost.dm,
    ),
    "dnl": Shipped(
        "dnl", "softmax_k((q - μ)·(k - ν)) + softmax_k(w·x_k)",
        "Yin et al. 2020, Disentangled Non-Local Neural Networks",
        f"{ARXIV}2006.06668", ("dnl_block",), cost.dnl,
    ),
    "ema": Shipped(
        "emanet", "Σ_b softmax_b(x_q·μ_b) μ_b, μ of 3 EM steps",
        "Li et al. 2019, Expectation-Maximization Attention Networks for Semantic Segmentation",
        f"{ARXIV}1907.13426", ("ema_mid_conv", "ema_module", "ema_out_conv"), cost.ema,
    ),
    "isa": Shipped(
        "isanet", "softmax_k(q·k), k far apart, then near",
        "Huang et al. 2019, Interlaced Sparse Self-Attention for Semantic Segmentation",
        f"{ARXIV}1907.12273", ("global_relation", "local_relation"), cost.isa,
    ),
    "psa": Shipped(
        "psanet", "softmax_q(w_(k-q)·x_q), softmax_q(w_(q-k)·x_k)",
        "Zhao et al. 2018, PSANet: Point-wise Spatial Attention Network for Scene Parsing",
        "https://hszhao.github.io/papers/eccv18_psanet.pdf", ("",), cost.psa,
    ),
    "psp": Shipped(
        "pspnet", "means of 1, 4, 9 and 36 cells",
        "Zhao et al. 2017, Pyramid Scene Parsing Network",
        f"{ARXIV}1612.01105", ("psp_modules",), cost.psp, images=2,
    ),
}  # fmt: skip
"""One line a head would be too wide: word, config, formula, source, parts and cost."""
