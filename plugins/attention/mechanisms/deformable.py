"""Deformable convolution, the suffix ``+deformable``.

On feature maps it takes a 3x3 convolution's place: its product is that convolution's, and only the
offsets are the mechanism's cost. In a sequence model it is a unit of its own before the attention
and costs all that it does.
"""

from __future__ import annotations

from plugins.attention.core.registry import DEFORMABLE, ClosedForm, Registered, register

__all__ = ["Deformable"]


@register(DEFORMABLE)
class Deformable(Registered):
    """Taps that move by learned, content-dependent offsets."""

    formula = "G(k, q + p + w_p·x_q)"
    paper = "Dai et al. 2017, Deformable Convolutional Networks"
    url = "https://arxiv.org/abs/1703.06211"
    block = "plugins.attention.maps.deformable.DeformableConv2d"
    sequence = "plugins.attention.sequences.deformable.DeformableConv1d"

    def block_cost(
        self, size: tuple[int, int], channels: int, *, kernel_size: int = 3, deform_groups: int = 1
    ) -> ClosedForm:
        """Return the cost of the offsets; `size` is that of the convolution's output."""
        offsets = 2 * kernel_size**2 * deform_groups
        weights = offsets * kernel_size**2 * channels
        return ClosedForm((("2 N k⁴ C", size[0] * size[1] * weights),), weights + offsets)

    def sequence_cost(
        self, queries: int, keys: int, channels: int, *, causal: bool = False, kernel_size: int = 3
    ) -> ClosedForm:
        """Return the cost of the offsets and of the convolution."""
        products = (
            ("N k C", queries * kernel_size * channels),
            ("N k C²", queries * kernel_size * channels**2),
        )
        parameters = kernel_size * (channels + 1) + kernel_size * channels**2 + channels
        return ClosedForm(products, parameters)
