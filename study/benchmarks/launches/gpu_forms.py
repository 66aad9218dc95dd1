"""Our modules with the forms that they take on a GPU, for counting on a CPU."""

from __future__ import annotations

from torch import Tensor, nn

from plugins.attention import GeneralizedAttention2d
from plugins.attention.kernels.maps.forms import form_of

__all__ = ["as_on_gpu"]


def as_on_gpu(module: nn.Module) -> nn.Module:
    """Return the module such that it calculates anywhere as on a GPU.

    Attention over maps chooses by the device. The other mechanisms have one form.
    """
    if type(module) is not GeneralizedAttention2d:
        return module
    module.__class__ = _OnGpu
    return module


class _OnGpu(GeneralizedAttention2d):
    def forward(self, x: Tensor) -> Tensor:
        local = self.spatial_range is not None
        return self.attend(x, form_of(self.terms, on_gpu=True, local=local))
