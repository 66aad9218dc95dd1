"""Non-local block: each position receives a mean over all, weighted by a function of both.

Wang et al. 2018, "Non-local Neural Networks", https://arxiv.org/abs/1711.07971, equations 1 to 6:
z = W y + x, where y_i is the sum over j of f(x_i, x_j) g(x_j), divided by C(x), and f is one of

    gaussian            exp(x_i . x_j)
    embedded_gaussian   exp(theta(x_i) . phi(x_j) / sqrt(D))
    dot_product         theta(x_i) . phi(x_j)
    concatenation       relu(w . [theta(x_i), phi(x_j)])

C is the sum of f over all j for the first two, which makes a softmax, and the number of positions
for the others. The root of the D features is not in the paper; its authors' code has it, and mmcv's
``NonLocal2d``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.tiles import in_single
from plugins.attention.maps.rows import rows_of

__all__ = ["NonLocal2d"]


class NonLocal2d(nn.Module):
    """The block over a feature map; it starts as the identity.

    Parameters
    ----------
    channels: int
        C, channels in and out.
    mode: str
        The pairwise function.
    subsample: bool
        Whether keys and values are pooled, each the largest of 2x2; the last row or column of an
        odd number is left out, as in mmcv, unless it is the only one.
    reduction: int
        C / D, for D features of theta, phi and g.
    batch_norm: bool
        Whether batch normalisation follows the last projection, as in the paper.
    """

    def __init__(
        self,
        channels: int,
        *,
        mode: str = "embedded_gaussian",
        subsample: bool = False,
        reduction: int = 2,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.mode, self.subsample = mode, subsample
        inner = channels // reduction
        self.g = nn.Conv2d(channels, inner, 1)
        if mode != "gaussian":
            self.theta = nn.Conv2d(channels, inner, 1)
            self.phi = nn.Conv2d(channels, inner, 1)
        if mode == "concatenation":
            self.concat_project = nn.Conv2d(2 * inner, 1, 1, bias=False)
        self.conv_out = nn.Conv2d(inner, channels, 1, bias=not batch_norm)
        self.norm = nn.BatchNorm2d(channels) if batch_norm else None
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as mmcv's module does; what comes last is 0."""
        for name, layer in self.named_children():
            if not isinstance(layer, nn.Conv2d):
                continue
            if name in ("g", "theta", "phi"):
                nn.init.normal_(layer.weight, std=0.01)
            else:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        last = self.conv_out if self.norm is None else self.norm
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        weights = self._weights(self._query(x), self._key(x))
        value = self._pool(self.g(x)).flatten(2)
        with exactly(x):
            attended = value @ weights.mT.to(value.dtype)
        out = self.conv_out(attended.unflatten(2, x.shape[-2:]))
        return x + (out if self.norm is None else self.norm(out))

    def weights_at(self, x: Tensor, queries: Sequence[tuple[int, int]]) -> Tensor:
        """Return f / C of some positions (row, column) for all keys, (N, 1, queries, Hk, Wk)."""
        query, key = self._query(x)[..., rows_of(x, queries)], self._key(x)
        grid = self._pool(x[:1, :1]).shape[-2:]
        return self._weights(query, key).unflatten(2, grid).unsqueeze(1)

    def _query(self, x: Tensor) -> Tensor:
        """(N, D, H * W), and C features instead of D where nothing is projected."""
        return (x if self.mode == "gaussian" else self.theta(x)).flatten(2)

    def _key(self, x: Tensor) -> Tensor:
        """(N, D, Hk * Wk), and C features instead of D where nothing is projected."""
        return self._pool(x if self.mode == "gaussian" else self.phi(x)).flatten(2)

    def _pool(self, x: Tensor) -> Tensor:
        if not self.subsample:
            return x
        return F.max_pool2d(x, (min(2, x.shape[2]), min(2, x.shape[3])))

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        """f / C in single precision at least, (N, queries, keys)."""
        with exactly(query):
            query, key = in_single(query), in_single(key)
            if self.mode == "concatenation":
                # w . [a, b] is w_1 . a + w_2 . b: no pair is concatenated.
                first, second = in_single(self.concat_project.weight).view(2, 1, -1)
                return ((first @ query).mT + second @ key).relu() / key.shape[2]
            energy = query.mT @ key
            if self.mode == "dot_product":
                return energy / key.shape[2]
            if self.mode == "embedded_gaussian":
                energy = energy / math.sqrt(key.shape[1])
            return energy.softmax(dim=2)

    def extra_repr(self) -> str:
        """Show what distinguishes this block in a printed model."""
        return f"mode={self.mode!r}, subsample={self.subsample}"
