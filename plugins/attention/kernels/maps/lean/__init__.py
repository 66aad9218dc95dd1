"""Forms for a GPU, where a kernel more costs more than what it calculates."""

from plugins.attention.kernels.maps.lean.by_axis import nested
from plugins.attention.kernels.maps.lean.forms import fused, mean, pooled, separable, tabled

__all__ = ["fused", "mean", "nested", "pooled", "separable", "tabled"]
