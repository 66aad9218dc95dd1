"""SAGAN's self-attention: pooled keys and values, projections of spectral norm 1.

Zhang et al. 2019, "Self-Attention Generative Adversarial Networks",
https://arxiv.org/abs/1805.08318, as in its authors' code (``sn_non_local_block_sim``):
x_q + gamma * W_o sum_k softmax_k(theta(x_q) . phi(x_k)) g(x_k), with C/8 features of theta and phi
and C/2 of g; phi and g are pooled to the maxima of 2x2; no projection has a bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.tiles import in_single
from plugins.attention.maps.rows import rows_of

__all__ = ["SelfAttention2d"]

STEPS = 15
"""Power iterations that make a first estimate of a spectral norm; torch makes as many."""


class SelfAttention2d(nn.Module):
    """The block over a feature map; it starts as the identity.

    Each weight is divided by its largest singular value, which one power iteration a training step
    estimates. The last row or column of an odd number is no key, unless it is the only one.

    Parameters
    ----------
    channels: int
        C, channels in and out; 8 at least.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = _projection(channels, channels // 8)
        self.phi = _projection(channels, channels // 8)
        self.g = _projection(channels, channels // 2)
        self.out = _projection(channels // 2, channels)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as the authors do; gamma is 0."""
        for layer in (self.theta, self.phi, self.g, self.out):
            nn.init.xavier_uniform_(layer.get_parameter("parametrizations.weight.original"))
            was_training = layer.training
            layer.train()
            for _ in range(STEPS):
                _ = layer.weight  # in training each use improves the estimate
            layer.train(was_training)
        nn.init.zeros_(self.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        weights = self._weights(_project(self.theta, x).flatten(2), self._key(x))
        value = _pool(_project(self.g, x)).flatten(2)
        with exactly(x):
            attended = value @ weights.mT.to(value.dtype)
        return self.gamma * _project(self.out, attended.unflatten(2, x.shape[-2:])) + x

    def weights_at(self, x: Tensor, queries: Sequence[tuple[int, int]]) -> Tensor:
        """Return the weights of some positions (row, column), (N, 1, queries, Hk, Wk)."""
        query = _project(self.theta, x).flatten(2)[..., rows_of(x, queries)]
        weights = self._weights(query, self._key(x))
        return weights.unflatten(2, _pool(x[:1, :1]).shape[-2:]).unsqueeze(1)

    def _key(self, x: Tensor) -> Tensor:
        """(N, D, Hk * Wk)."""
        return _pool(_project(self.phi, x)).flatten(2)

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        """Softmax over the keys in single precision at least, (N, queries, keys)."""
        with exactly(query):
            return (in_single(query).mT @ in_single(key)).softmax(dim=2)


def _projection(channels: int, features: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(channels, features, 1, bias=False))


def _project(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer whose norm is estimated in the weight's own type, whatever autocast asks."""
    with exactly(x):
        weight = layer.weight
    assert isinstance(weight, Tensor)
    return F.conv2d(x, weight)


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, (min(2, x.shape[2]), min(2, x.shape[3])))
