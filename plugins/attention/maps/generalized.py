"""Generalized attention over feature maps.

Zhu et al. 2019, https://arxiv.org/abs/1904.05873, equations (1) and (2): the weight of key k for
query q is the softmax over k of a sum of energies, those of these four that are switched on,

    E1 = q . k          query content and key content
    E2 = q . r(k - q)   query content and relative position
    E3 = u . k          key content only
    E4 = v . r(k - q)   relative position only

with q, k the projected contents, r the projected sinusoids of the offset, u and v learned vectors.
Each term set is calculated by its cheapest exact form, see :mod:`plugins.attention.kernels.maps`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.core.energy import exactly
from plugins.attention.kernels.column import on_gpu
from plugins.attention.kernels.maps.block import Block2d
from plugins.attention.kernels.maps.forms import Form, form_of
from plugins.attention.kernels.maps.tiles import residual, working_type
from plugins.attention.maps import cost
from plugins.attention.maps.dense import dense, weights_at

__all__ = ["GeneralizedAttention2d"]


class GeneralizedAttention2d(Block2d):
    """Multi-head attention of a feature map to itself, with any of the 16 term sets.

    Parameter names and shapes are those of mmcv's ``GeneralizedAttention``, so that its checkpoints
    load. As in mmcv, energies carry no 1/sqrt(d); strides subsample; the row and the column
    encoding are projected apart and their sum is divided by sqrt(2); the block is residual and
    starts as the identity. Unlike in mmcv, every term set is right on every map.

    Parameters
    ----------
    in_channels: int
        C, channels in and out.
    heads: int
        M. Each head has ``C // M`` features, as in mmcv.
    terms: str
        Four bits E1E2E3E4.
    kv_stride, q_stride: int
        Keys (queries) are taken at every kv_stride-th (q_stride-th) row and column. With
        q_stride > 1 the result is brought back to (H, W) by bilinear interpolation.
    spatial_range: int, optional
        Keys farther than this from the query on either axis, in input positions, are left out.
        None: all keys. At least ``kv_stride - 1``, so that no query is left without a key.
    position_dim: int, optional
        Sinusoids of an offset, half of them for each axis; divisible by 4; default C.
    position_magnitude: float
        Factor on the offsets.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W).

        Raises
        ------
        ValueError
            If C is not the number of channels that the module has been built for.
        """
        if x.shape[1] != self.channels:
            raise ValueError(
                f"this attention has been built for {self.channels} channels and is given "
                f"{x.shape[1]}; the plugins of some backbones, such as Res2Net, are told a wrong "
                "number: put it there by the backbone type WithBlocks (docs/coco.md, Any backbone)"
            )
        form = form_of(self.terms, on_gpu=on_gpu(x.device), local=self.spatial_range is not None)
        return self.attend(x, form)

    def attend(self, x: Tensor, form: Form) -> Tensor:
        """Attend by a given form, one of :mod:`plugins.attention.kernels.maps.forms`.

        All forms that support these terms give the same result.
        """
        kind = working_type(x)
        with exactly(x):
            return form(self, x, kind)

    def closed_form(self, height: int, width: int) -> ClosedForm:
        """Return the canonical cost on one map of that size."""
        return cost.generalized(
            (height, width),
            self.channels,
            heads=self.heads,
            terms=self.terms,
            kv_stride=self.kv_stride,
            q_stride=self.q_stride,
            spatial_range=self.spatial_range,
            position_dim=self.position_dim,
        )

    def dense(self, x: Tensor) -> Tensor:
        """Attend by the plain form, the reference: (queries, keys) energies for each head."""
        kind, attended = working_type(x), dense(self, x)
        with exactly(x):
            return residual(self, x, attended, kind)

    def weights_at(self, x: Tensor, queries: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """Attention weights and each term's energies for a few queries.

        Parameters
        ----------
        x: Tensor
            (N, C, H, W).
        queries: sequence of (row, column)
            In positions of the input; with a query stride, the query nearest above and to the left.

        Returns
        -------
        dict of str to Tensor
            ``weights``, (N, M, queries, Hk, Wk), 1 in sum over the keys; and for each term that is
            on, ``E1`` to ``E4``, its energies in the same shape, also of keys out of range.

        Raises
        ------
        ValueError
            If a position is not in the map.
        """
        return weights_at(self, x, queries)
