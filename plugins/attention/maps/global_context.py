"""Global context block: one mean over all positions, transformed and added to each of them.

Cao et al. 2019, "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
https://arxiv.org/abs/1904.11492: z_i = x_i + W_2 relu(LN(W_1 c)), where c is the sum over j of
softmax_j(w . x_j) x_j. All queries have the same weights, as with the term E3 alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.tiles import in_single
from plugins.attention.maps.rows import rows_of

__all__ = ["GlobalContext2d"]


class GlobalContext2d(nn.Module):
    """The block over a feature map; it starts as the identity.

    Parameter names and shapes are those of mmcv's ``ContextBlock`` with attention pooling and
    addition, so that its checkpoints load.

    Parameters
    ----------
    channels: int
        C, channels in and out.
    reduction: int
        C / D, for D hidden channels.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inner = channels // reduction
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, inner, 1),
            nn.LayerNorm([inner, 1, 1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1),
        )
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as mmcv's module does; the last layer is 0."""
        for layer in self.channel_add_conv:
            if isinstance(layer, nn.Conv2d | nn.LayerNorm):
                layer.reset_parameters()
        for parameter in self.channel_add_conv[-1].parameters():
            nn.init.zeros_(parameter)
        nn.init.kaiming_normal_(self.conv_mask.weight)
        assert self.conv_mask.bias is not None
        nn.init.zeros_(self.conv_mask.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Add the context; `x` and the result are (N, C, H, W)."""
        weights = self.weights(x)
        with exactly(x):
            context = x.flatten(2) @ weights.flatten(1).unsqueeze(2).to(x.dtype)
        return x + self.channel_add_conv(context.unsqueeze(3))

    def weights_at(self, x: Tensor, queries: Sequence[tuple[int, int]]) -> Tensor:
        """Return the weights of some positions (row, column), (N, 1, queries, H, W)."""
        number = len(rows_of(x, queries))
        return self.weights(x)[:, None, None].expand(-1, -1, number, -1, -1)

    def weights(self, x: Tensor) -> Tensor:
        """Weights of the positions, the same for all queries: (N, H, W), 1 in sum."""
        energy = in_single(self.conv_mask(x))[:, 0]
        return energy.flatten(1).softmax(dim=1).unflatten(1, energy.shape[1:])
