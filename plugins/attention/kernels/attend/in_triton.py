# mypy: disable-error-code="no-untyped-def"
"""The fused kernels: softmax attention that adds energies from tables, forward and backward.

One program calculates a block of queries (`forward`, `backward_queries`) or a block of keys
(`backward_keys`) of one head. Keys lie on a grid; a block of them is a part of one row
of the outer axis, so that the table of the outer axis is one number for each query, and the table
of the inner axis is a tile that stays in registers for all rows. The softmax is that of
FlashAttention (Dao et al. 2022, https://arxiv.org/abs/2205.14135). Every result has one writer:
nothing is added up by atomic operations, and so a gradient is the same in every run.

Names: D and E are the features of a key and of a value, BD and BE the powers of two above them;
BM queries and BI keys make a block. ``near`` and ``far`` stand for the window's bounds. Exponents
are to the base 2, which a GPU calculates directly.
"""

from __future__ import annotations

import os

import triton
import triton.language as tl

__all__ = ["backward_keys", "backward_queries", "forward"]

_ANY_SIZE = (
    "step_o", "step_i", "o_b", "o_m", "o_y", "o_x", "i_b", "i_m", "i_y", "i_x", "s_b", "s_m", "s_p",
    "do_b", "do_m", "do_y", "do_x", "di_b", "di_m", "di_y", "di_x", "ds_b", "ds_m", "ds_p",
    "heads", "queries", "width", "keys_o", "keys_i",
    "query_step", "key_step", "first", "near", "far",
)  # fmt: skip
"""Numbers that a kernel is not compiled anew for: in detection they change from batch to batch."""

LOG2E = tl.constexpr(1.4426950408889634)

INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
"""Triton's interpreter knows no products in bfloat16."""


@triton.jit
def _dot(left, right, PRECISION: tl.constexpr):
    """Multiply with sums in float32."""
    if INTERPRETED:
        return tl.dot(left.to(tl.float32), right.to(tl.float32), input_precision=PRECISION)
    else:
        return tl.dot(left, right, input_precision=PRECISION)


@triton.jit
def _first(position, far, step):
    """The first place that is not farther than `far` before `position`."""
    return tl.cdiv(tl.maximum(position - far, 0), step)


@triton.jit
def _stop(position, near, step, places):
    """One more than the last place that is at least `near` before `position`."""
    last = position - near
    return tl.where(last < 0, 0, tl.minimum(tl.maximum(last, 0) // step + 1, places))


@triton.jit
def _problem(number, heads):
    """The number of an image's head, the image and the head; wide, as tensors may be large."""
    return number.to(tl.int64), (number // heads).to(tl.int64), (number % heads).to(tl.int64)


@triton.jit
def _places(q, width, query_step, first, SWAP: tl.constexpr):
    """Row and column of queries, and their positions along the keys' outer and inner axis."""
    y = q // width
    x = q % width
    at_y = y * query_step
    at_x = x * query_step + first
    return y.to(tl.int64), x.to(tl.int64), at_x if SWAP else at_y, at_y if SWAP else at_x


@triton.jit
def _bias(BIAS, head, d, D: tl.constexpr, BIASED: tl.constexpr):
    """What is added to a head's queries, (features)."""
    if BIASED:
        return tl.load(BIAS + head * D + d, mask=d < D, other=0.0).to(tl.float32)
    else:
        return tl.zeros([d.shape[0]], tl.float32)


@triton.jit
def _query(queries, q, in_q, q_p, bias, d, D: tl.constexpr, BIASED: tl.constexpr):
    """Queries of a head with their bias, (queries, features)."""
    place = q.to(tl.int64)[:, None] * q_p + d[None, :]
    query = tl.load(queries + place, mask=in_q[:, None] & (d < D)[None, :], other=0.0)
    if BIASED:
        query = (query + bias[None, :]).to(queries.dtype.element_ty)
    return query


@triton.jit
def _visible(
    start, queries, width, keys_o, keys_i, query_step, key_step, first, near, far,
    BM: tl.constexpr, WINDOW: tl.constexpr, SWAP: tl.constexpr,
):  # fmt: skip
    """Bounds of the keys that BM queries from `start` on can see, on either axis."""
    first_o = 0
    stop_o = keys_o
    first_i = 0
    stop_i = keys_i
    if WINDOW:
        last = tl.minimum(start + BM, queries) - 1
        low_y = start // width
        high_y = last // width
        low_x = tl.where(low_y == high_y, start % width, 0) * query_step + first
        high_x = tl.where(low_y == high_y, last % width, width - 1) * query_step + first
        low_y = low_y * query_step
        high_y = high_y * query_step
        first_o = _first(low_x if SWAP else low_y, far, key_step)
        stop_o = _stop(high_x if SWAP else high_y, near, key_step, keys_o)
        first_i = _first(low_y if SWAP else low_x, far, key_step)
        stop_i = _stop(high_y if SWAP else high_x, near, key_step, keys_i)
    return first_o, stop_o, first_i, stop_i


@triton.jit
def _tile(
    rows, inner, in_q, qa, key_step, near, far, keys, HAS: tl.constexpr, WINDOW: tl.constexpr
):
    """Energies of the inner axis to the base 2, (queries, keys); -inf where none is seen."""
    seen = in_q[:, None] & (inner < keys)[None, :]
    if HAS:
        tile = tl.load(rows[:, None] + inner[None, :], mask=seen, other=0.0).to(tl.float32) * LOG2E
    else:
        tile = tl.zeros([in_q.shape[0], inner.shape[0]], tl.float32)
    if WINDOW:
        distance = qa[:, None] - (inner * key_step)[None, :]
        seen = seen & (distance >= near) & (distance <= far)
    return tl.where(seen, tile, float("-inf"))


@triton.jit
def _column(rows, outer, in_q, qa, key_step, near, far, HAS: tl.constexpr, WINDOW: tl.constexpr):
    """Energies of one key row to the base 2, (queries); -inf where it is not seen."""
    if HAS:
        column = tl.load(rows + outer, mask=in_q, other=0.0).to(tl.float32) * LOG2E
    else:
        column = tl.zeros([in_q.shape[0]], tl.float32)
    if WINDOW:
        distance = qa - outer * key_step
        column = tl.where((distance >= near) & (distance <= far), column, float("-inf"))
    return column


@triton.jit(do_not_specialize=_ANY_SIZE)
def forward(
    QUERY, KEY, VALUE, OUTER, INNER, SCORE, BIAS, OUT, TOTAL,
    q_b, q_p, k_b, k_p, v_b, v_p, step_o, step_i,
    o_b, o_m, o_y, o_x, i_b, i_m, i_y, i_x, s_b, s_m, s_p,
    heads, queries, width, keys_o, keys_i, scale,
    query_step, key_step, first, near, far,
    D: tl.constexpr, E: tl.constexpr, BD: tl.constexpr, BE: tl.constexpr,
    BM: tl.constexpr, BI: tl.constexpr,
    CONTENT: tl.constexpr, BIASED: tl.constexpr, HAS_OUTER: tl.constexpr,
    HAS_INNER: tl.constexpr, HAS_SCORE: tl.constexpr, WINDOW: tl.constexpr, SWAP: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Attend; one program for BM queries of one head.

    A query's place is (q // width, q % width); the outer axis of keys goes with the first of these,
    or with the second where SWAP. Position p of keys is step_o * outer + step_i * inner.
    """
    blocks = tl.cdiv(queries, BM)
    start = (tl.program_id(0) % blocks) * BM
    problem, batch, head = _problem(tl.program_id(0) // blocks, heads)
    q = start + tl.arange(0, BM)
    in_q = q < queries
    y, x, at_o, at_i = _places(q, width, query_step, first, SWAP)
    d = tl.arange(0, BD)
    e = tl.arange(0, BE)
    outer_rows = OUTER + batch * o_b + head * o_m + y * o_y + x * o_x
    inner_rows = INNER + batch * i_b + head * i_m + y * i_y + x * i_x
    if CONTENT:
        bias = _bias(BIAS, head, d, D, BIASED)
        query = _query(QUERY + batch * q_b + head * D, q, in_q, q_p, bias, d, D, BIASED)
    keys = KEY + batch * k_b + head * D
    values = VALUE + batch * v_b + head * E
    scores = SCORE + batch * s_b + head * s_m

    first_o, stop_o, first_i, stop_i = _visible(
        start, queries, width, keys_o, keys_i, query_step, key_step, first, near, far,
        BM, WINDOW, SWAP,
    )  # fmt: skip
    top = tl.full([BM], float("-inf"), tl.float32)
    total = tl.zeros([BM], tl.float32)
    result = tl.zeros([BM, BE], tl.float32)
    for chunk in range(first_i, stop_i, BI):
        i = chunk + tl.arange(0, BI)
        in_i = i < keys_i
        tile = _tile(inner_rows, i, in_q, at_i, key_step, near, far, keys_i, HAS_INNER, WINDOW)
        for o in range(first_o, stop_o):
            p = o * step_o + i * step_i
            energy = tile
            if CONTENT:
                key = tl.load(
                    keys + p[None, :] * k_p + d[:, None],
                    mask=in_i[None, :] & (d < D)[:, None], other=0.0,
                )  # fmt: skip
                energy = energy + _dot(query, key, PRECISION) * (scale * LOG2E)
            if HAS_OUTER or WINDOW:
                column = _column(outer_rows, o, in_q, at_o, key_step, near, far, HAS_OUTER, WINDOW)
                energy = energy + column[:, None]
            if HAS_SCORE:
                score = tl.load(scores + p * s_p, mask=in_i, other=0.0).to(tl.float32) * LOG2E
                energy = energy + score[None, :]
            peak = tl.maximum(top, tl.max(energy, 1))
            shift = tl.where(peak == float("-inf"), 0.0, peak)
            weight = tl.exp2(energy - shift[:, None])
            fade = tl.exp2(top - shift)
            total = total * fade + tl.sum(weight, 1)
            value = tl.load(
                values + p[:, None] * v_p + e[None, :],
                mask=in_i[:, None] & (e < E)[None, :], other=0.0,
            )  # fmt: skip
            weight = weight.to(VALUE.dtype.element_ty)
            result = result * fade[:, None] + _dot(weight, value, PRECISION)
            top = peak
    blind = total == 0.0
    result = result / tl.where(blind, 1.0, total)[:, None]
    place = (batch * queries + q[:, None]) * (heads * E) + head * E + e[None, :]
    tl.store(OUT + place, result.to(OUT.dtype.element_ty), mask=in_q[:, None] & (e < E)[None, :])
    # A query that sees nothing has weights exp2(energy - inf) = 0 in the backward pass.
    log = tl.where(blind, float("inf"), top + tl.log2(tl.where(blind, 1.0, total)))
    tl.store(TOTAL + problem * queries + q, log, mask=in_q)


@triton.jit(do_not_specialize=_ANY_SIZE)
def backward_queries(
    QUERY, KEY, VALUE, OUTER, INNER, SCORE, BIAS, OUT, TOTAL,
    GRAD, DELTA, D_QUERY, D_OUTER, D_INNER,
    q_b, q_p, k_b, k_p, v_b, v_p, step_o, step_i,
    o_b, o_m, o_y, o_x, i_b, i_m, i_y, i_x, s_b, s_m, s_p,
    g_b, g_p, do_b, do_m, do_y, do_x, di_b, di_m, di_y, di_x,
    heads, queries, width, keys_o, keys_i, scale,
    query_step, key_step, first, near, far,
    D: tl.constexpr, E: tl.constexpr, BD: tl.constexpr, BE: tl.constexpr,
    BM: tl.constexpr, BI: tl.constexpr,
    CONTENT: tl.constexpr, BIASED: tl.constexpr, HAS_OUTER: tl.constexpr,
    HAS_INNER: tl.constexpr, HAS_SCORE: tl.constexpr, WINDOW: tl.constexpr, SWAP: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of queries and tables; one program for BM queries of one head.

    Where there is a window, keys that no query of the block sees are left out: the gradients of
    the tables begin at 0.
    """
    blocks = tl.cdiv(queries, BM)
    start = (tl.program_id(0) % blocks) * BM
    problem, batch, head = _problem(tl.program_id(0) // blocks, heads)
    q = start + tl.arange(0, BM)
    in_q = q < queries
    y, x, at_o, at_i = _places(q, width, query_step, first, SWAP)
    d = tl.arange(0, BD)
    e = tl.arange(0, BE)
    outer_rows = OUTER + batch * o_b + head * o_m + y * o_y + x * o_x
    inner_rows = INNER + batch * i_b + head * i_m + y * i_y + x * i_x
    d_outer_rows = D_OUTER + batch * do_b + head * do_m + y * do_y + x * do_x
    d_inner_rows = D_INNER + batch * di_b + head * di_m + y * di_y + x * di_x
    if CONTENT:
        bias = _bias(BIAS, head, d, D, BIASED)
        query = _query(QUERY + batch * q_b + head * D, q, in_q, q_p, bias, d, D, BIASED)
    keys = KEY + batch * k_b + head * D
    values = VALUE + batch * v_b + head * E
    scores = SCORE + batch * s_b + head * s_m

    mask = in_q[:, None] & (e < E)[None, :]
    place = (batch * queries + q[:, None]) * (heads * E) + head * E + e[None, :]
    out = tl.load(OUT + place, mask=mask, other=0.0).to(tl.float32)
    place = batch * g_b + q.to(tl.int64)[:, None] * g_p + head * E + e[None, :]
    grad = tl.load(GRAD + place, mask=mask, other=0.0)
    delta = tl.sum(out * grad.to(tl.float32), 1)
    number = problem * queries + q
    tl.store(DELTA + number, delta, mask=in_q)
    log = tl.load(TOTAL + number, mask=in_q, other=float("inf"))

    first_o, stop_o, first_i, stop_i = _visible(
        start, queries, width, keys_o, keys_i, query_step, key_step, first, near, far,
        BM, WINDOW, SWAP,
    )  # fmt: skip
    d_query = tl.zeros([BM, BD], tl.float32)
    for chunk in range(first_i, stop_i, BI):
        i = chunk + tl.arange(0, BI)
        in_i = i < keys_i
        tile = _tile(inner_rows, i, in_q, at_i, key_step, near, far, keys_i, HAS_INNER, WINDOW)
        tile = tile - log[:, None]
        d_tile = tl.zeros([BM, BI], tl.float32)
        for o in range(first_o, stop_o):
            p = o * step_o + i * step_i
            energy = tile
            if CONTENT:
                key = tl.load(
                    keys + p[:, None] * k_p + d[None, :],
                    mask=in_i[:, None] & (d < D)[None, :], other=0.0,
                )  # fmt: skip
                product = _dot(query, tl.trans(key), PRECISION)
                energy = energy + product * (scale * LOG2E)
            if HAS_OUTER or WINDOW:
                column = _column(outer_rows, o, in_q, at_o, key_step, near, far, HAS_OUTER, WINDOW)
                energy = energy + column[:, None]
            if HAS_SCORE:
                score = tl.load(scores + p * s_p, mask=in_i, other=0.0).to(tl.float32) * LOG2E
                energy = energy + score[None, :]
            weight = tl.exp2(energy)
            value = tl.load(
                values + p[None, :] * v_p + e[:, None],
                mask=in_i[None, :] & (e < E)[:, None], other=0.0,
            )  # fmt: skip
            slope = weight * (_dot(grad, value, PRECISION) - delta[:, None])
            if HAS_INNER:
                d_tile += slope
            if HAS_OUTER:
                column = tl.sum(slope, 1)
                if chunk > first_i:
                    column += tl.load(d_outer_rows + o, mask=in_q, other=0.0).to(tl.float32)
                tl.store(d_outer_rows + o, column.to(D_OUTER.dtype.element_ty), mask=in_q)
            if CONTENT:
                d_query += _dot(slope.to(KEY.dtype.element_ty), key, PRECISION)
        if HAS_INNER:
            tl.store(
                d_inner_rows[:, None] + i[None, :], d_tile.to(D_INNER.dtype.element_ty),
                mask=in_q[:, None] & in_i[None, :],
            )  # fmt: skip
        if HAS_OUTER:
            # The next chunk adds to the outer table what another thread may have written.
            tl.debug_barrier()
    if CONTENT:
        place = (batch * queries + q[:, None]) * (heads * D) + head * D + d[None, :]
        d_query = (d_query * scale).to(D_QUERY.dtype.element_ty)
        tl.store(D_QUERY + place, d_query, mask=in_q[:, None] & (d < D)[None, :])


@triton.jit(do_not_specialize=_ANY_SIZE)
def backward_keys(
    QUERY, KEY, VALUE, OUTER, INNER, SCORE, BIAS, TOTAL, GRAD, DELTA, D_KEY, D_VALUE, D_SCORE,
    q_b, q_p, k_b, k_p, v_b, v_p, step_o, step_i,
    o_b, o_m, o_y, o_x, i_b, i_m, i_y, i_x, s_b, s_m, s_p,
    g_b, g_p, ds_b, ds_m, ds_p, heads, queries, width, keys_o, keys_i, scale,
    query_step, key_step, first, near, far,
    D: tl.constexpr, E: tl.constexpr, BD: tl.constexpr, BE: tl.constexpr,
    BM: tl.constexpr, BI: tl.constexpr,
    CONTENT: tl.constexpr, BIASED: tl.constexpr, HAS_OUTER: tl.constexpr,
    HAS_INNER: tl.constexpr, HAS_SCORE: tl.constexpr, WANTS_SCORE: tl.constexpr,
    WINDOW: tl.constexpr, SWAP: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of keys, values and scores; one program for BI keys of one head.

    Blocks of energies are transposed here, (keys, queries).
    """
    chunks = tl.cdiv(keys_i, BI)
    chunk = tl.program_id(0) % chunks
    o = (tl.program_id(0) // chunks) % keys_o
    problem, batch, head = _problem(tl.program_id(0) // (chunks * keys_o), heads)
    i = chunk * BI + tl.arange(0, BI)
    in_i = i < keys_i
    d = tl.arange(0, BD)
    e = tl.arange(0, BE)
    p = (o * step_o + i * step_i).to(tl.int64)
    if CONTENT:
        place = batch * k_b + p[:, None] * k_p + head * D + d[None, :]
        key = tl.load(KEY + place, mask=in_i[:, None] & (d < D)[None, :], other=0.0)
        bias = _bias(BIAS, head, d, D, BIASED)
    place = batch * v_b + p[:, None] * v_p + head * E + e[None, :]
    value = tl.load(VALUE + place, mask=in_i[:, None] & (e < E)[None, :], other=0.0)
    outers = OUTER + batch * o_b + head * o_m
    inners = INNER + batch * i_b + head * i_m
    score = tl.zeros([BI], tl.float32)
    if HAS_SCORE:
        scores = SCORE + batch * s_b + head * s_m + p * s_p
        score = tl.load(scores, mask=in_i, other=0.0).to(tl.float32) * LOG2E
    score = tl.where(in_i, score, float("-inf"))

    first_q = 0
    stop_q = queries
    if WINDOW:
        # Key (o, i) is seen by queries between these places on either axis.
        low_o = near + o * key_step
        high_o = far + o * key_step
        low_i = near + chunk * BI * key_step
        high_i = far + tl.minimum(chunk * BI + BI, keys_i) * key_step
        low_y = low_i if SWAP else low_o
        high_y = high_i if SWAP else high_o
        low_x = (low_o if SWAP else low_i) - first
        high_x = (high_o if SWAP else high_i) - first
        rows = queries // width
        low_y = _first(low_y, 0, query_step)
        low_x = _first(low_x, 0, query_step)
        high_y = _stop(high_y, 0, query_step, rows) - 1
        high_x = _stop(high_x, 0, query_step, width) - 1
        none = (low_y > high_y) | (low_x > high_x)
        first_q = tl.where(none, 0, low_y * width + low_x)
        stop_q = tl.where(none, 0, high_y * width + high_x + 1)

    d_key = tl.zeros([BI, BD], tl.float32)
    d_value = tl.zeros([BI, BE], tl.float32)
    d_score = tl.zeros([BI], tl.float32)
    for start in range(first_q, stop_q, BM):
        q = start + tl.arange(0, BM)
        in_q = q < queries
        y, x, at_o, at_i = _places(q, width, query_step, first, SWAP)
        number = problem * queries + q
        log = tl.load(TOTAL + number, mask=in_q, other=float("inf"))
        delta = tl.load(DELTA + number, mask=in_q, other=0.0)
        energy = score[:, None] - log[None, :]
        if HAS_INNER:
            rows_i = inners + y * i_y + x * i_x
            tile = tl.load(
                rows_i[None, :] + i[:, None], mask=in_q[None, :] & in_i[:, None], other=0.0
            )
            energy += tile.to(tl.float32) * LOG2E
        if HAS_OUTER:
            rows_o = outers + y * o_y + x * o_x
            column = tl.load(rows_o + o, mask=in_q, other=0.0).to(tl.float32)
            energy += column[None, :] * LOG2E
        if WINDOW:
            distance = at_i[None, :] - (i * key_step)[:, None]
            across = at_o - o * key_step
            seen = (distance >= near) & (distance <= far)
            seen = seen & ((across >= near) & (across <= far))[None, :]
            energy = tl.where(seen, energy, float("-inf"))
        if CONTENT:
            query = _query(QUERY + batch * q_b + head * D, q, in_q, q_p, bias, d, D, BIASED)
            energy += _dot(key, tl.trans(query), PRECISION) * (scale * LOG2E)
        weight = tl.exp2(energy)
        at = batch * g_b + q.to(tl.int64)[:, None] * g_p + head * E + e[None, :]
        grad = tl.load(GRAD + at, mask=in_q[:, None] & (e < E)[None, :], other=0.0)
        d_value += _dot(weight.to(GRAD.dtype.element_ty), grad, PRECISION)
        slope = weight * (_dot(value, tl.trans(grad), PRECISION) - delta[None, :])
        if WANTS_SCORE:
            d_score += tl.sum(slope, 1)
        if CONTENT:
            d_key += _dot(slope.to(QUERY.dtype.element_ty), query, PRECISION)
    number = batch * keys_o * keys_i + p
    if CONTENT:
        place = number[:, None] * (heads * D) + head * D + d[None, :]
        d_key = (d_key * scale).to(D_KEY.dtype.element_ty)
        tl.store(D_KEY + place, d_key, mask=in_i[:, None] & (d < D)[None, :])
    place = number[:, None] * (heads * E) + head * E + e[None, :]
    d_value = d_value.to(D_VALUE.dtype.element_ty)
    tl.store(D_VALUE + place, d_value, mask=in_i[:, None] & (e < E)[None, :])
    if WANTS_SCORE:
        place = batch * ds_b + head * ds_m + p * ds_p
        tl.store(D_SCORE + place, d_score.to(D_SCORE.dtype.element_ty), mask=in_i)
