"""GeneralizedAttention2d against the formula, written anew with one loop a head and a query."""

import math

import pytest
import torch
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention as MmcvAttention

from plugins.attention import GeneralizedAttention2d
from plugins.attention.core.word import TERM_SETS
from plugins.attention.kernels.maps.forms import FORMS

WRONG_IN_MMCV = {"0100", "0110", "1100", "1110"}  # E2 without E4


def module(terms, channels=8, heads=2, **arguments):
    torch.manual_seed(sum(map(ord, terms)))
    made = GeneralizedAttention2d(channels, heads, terms, **arguments).double()
    torch.nn.init.constant_(made.gamma, 0.7)  # 0 would hide everything
    return made


def encoding(offset, dim):
    """sin and cos of an offset on one axis, dim / 4 wavelengths 1000^(4i/dim)."""
    angles = [offset / 1000 ** (4 * i / dim) for i in range(dim // 4)]
    sines, cosines = [math.sin(a) for a in angles], [math.cos(a) for a in angles]
    return torch.tensor(sines + cosines, dtype=torch.float64)


def formula(m, x, spatial_range=None):
    """Residual plus gamma times equation (1) with the weights of equation (2), query by query."""
    e1, e2, e3, e4 = (bit == "1" for bit in m.terms)
    images, _, height, width = x.shape
    queries = [(r, c) for r in range(0, height, m.q_stride) for c in range(0, width, m.q_stride)]
    keys = [(r, c) for r in range(0, height, m.kv_stride) for c in range(0, width, m.kv_stride)]
    rows, columns = -(-height // m.q_stride), -(-width // m.q_stride)
    d = m.head_dim
    out = torch.zeros(images, m.heads * d, rows, columns, dtype=torch.float64)
    for n in range(images):
        for head in range(m.heads):
            part = slice(head * d, (head + 1) * d)
            value = torch.stack(
                [m.value_conv.weight[part, :, 0, 0] @ x[n, :, r, c] for r, c in keys]
            )
            for index, (qr, qc) in enumerate(queries):
                energies = []
                for kr, kc in keys:
                    energy = torch.zeros((), dtype=torch.float64)
                    if e1 or e2:
                        q = m.query_conv.weight[part, :, 0, 0] @ x[n, :, qr, qc]
                    if e1 or e3:
                        k = m.key_conv.weight[part, :, 0, 0] @ x[n, :, kr, kc]
                    if e2 or e4:
                        r = m.appr_geom_fc_x.weight[part] @ encoding(
                            (qc - kc) * m.position_magnitude, m.position_dim
                        ) + m.appr_geom_fc_y.weight[part] @ encoding(
                            (qr - kr) * m.position_magnitude, m.position_dim
                        )
                        r = r / math.sqrt(2)
                    energy = energy + (q @ k if e1 else 0) + (q @ r if e2 else 0)
                    energy = energy + (m.appr_bias[part] @ k if e3 else 0)
                    energy = energy + (m.geom_bias[part] @ r if e4 else 0)
                    if (
                        spatial_range is not None
                        and max(abs(qr - kr), abs(qc - kc)) > spatial_range
                    ):
                        energy = energy - math.inf
                    energies.append(energy)
                weights = torch.stack(energies).softmax(0)
                out[n, part, index // columns, index % columns] = weights @ value
    projected = torch.einsum("oc,nchw->nohw", m.proj_conv.weight[..., 0, 0], out)
    projected = projected + m.proj_conv.bias[:, None, None]
    if m.q_stride > 1:
        projected = torch.nn.functional.interpolate(
            projected, size=(height, width), mode="bilinear", align_corners=False
        )
    return x + m.gamma * projected


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (2, 2), (1, 2)], ids="kv{0[0]}q{0[1]}".format)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_equals_the_formula_on_a_non_square_map(terms, strides):
    kv_stride, q_stride = strides
    m = module(terms, kv_stride=kv_stride, q_stride=q_stride)
    x = torch.randn(2, 8, 5, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(m(x), formula(m, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("terms", ["0000", "0010", "0001", "0110", "1111"])
@pytest.mark.parametrize("kv_stride", [1, 2])
def test_spatial_range_is_a_symmetric_window(terms, kv_stride):
    m = module(terms, kv_stride=kv_stride, spatial_range=1, position_magnitude=2)
    x = torch.randn(1, 8, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(m(x), formula(m, x, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("column", ["cpu", "gpu"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_gradients_are_those_of_finite_differences(terms, column, monkeypatch):
    form = getattr(FORMS[terms], column)
    monkeypatch.setattr(GeneralizedAttention2d, "forward", lambda m, x: m.attend(x, form))
    m = module(terms, channels=4, heads=2, kv_stride=2)
    x = torch.randn(2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    parameters = list(m.parameters())

    def run(x, *values):
        named = dict(zip(dict(m.named_parameters()), values, strict=True))
        return torch.func.functional_call(m, named, x)

    assert torch.autograd.gradcheck(run, (x, *parameters))


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (2, 2)], ids="kv{0[0]}q{0[1]}".format)
@pytest.mark.parametrize("terms", sorted({*TERM_SETS} - WRONG_IN_MMCV))
def test_equals_mmcv_with_its_weights_where_mmcv_is_right(terms, strides):
    kv_stride, q_stride = strides
    m = module(terms, channels=16, heads=4, kv_stride=kv_stride, q_stride=q_stride)
    theirs = MmcvAttention(
        16, num_heads=4, attention_type=terms, kv_stride=kv_stride, q_stride=q_stride
    ).double()
    theirs.load_state_dict(m.state_dict(), strict=True)
    x = torch.randn(2, 16, 7, 10, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(m(x), theirs(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("terms", sorted(WRONG_IN_MMCV))
def test_mmcv_is_wrong_with_content_and_position_but_no_position_bias(terms):
    m = module(terms, channels=16, heads=4, kv_stride=1)
    theirs = MmcvAttention(16, num_heads=4, attention_type=terms, kv_stride=1).double()
    theirs.load_state_dict(m.state_dict(), strict=True)
    square = torch.randn(1, 16, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        ours = m(square)
        torch.testing.assert_close(ours, formula(m, square), rtol=1e-12, atol=1e-12)
        assert (theirs(square) - ours).abs().max() > 1e-3
        with pytest.raises(RuntimeError):
            theirs(torch.randn(1, 16, 6, 8, dtype=torch.float64))


@pytest.mark.parametrize("channels", [256, 512])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_parameters_have_mmcvs_names_and_shapes(terms, channels):
    def shapes(made):
        return {name: tuple(value.shape) for name, value in made.state_dict().items()}

    ours = GeneralizedAttention2d(channels, 8, terms)
    assert shapes(ours) == shapes(MmcvAttention(channels, num_heads=8, attention_type=terms))


def test_starts_as_the_identity():
    x = torch.randn(1, 16, 5, 6)
    assert torch.equal(GeneralizedAttention2d(16)(x), x)


def test_0000_is_the_mean_of_the_values_and_not_nothing():
    m = module("0000", kv_stride=1)
    x = torch.randn(2, 8, 3, 5, dtype=torch.float64)
    mean = m.proj_conv(m.value_conv(x).mean(dim=(2, 3), keepdim=True))
    torch.testing.assert_close(m(x), x + m.gamma * mean, rtol=1e-12, atol=1e-12)


def test_half_precision_keeps_the_softmax_in_single():
    m = module("1111", channels=16, heads=2, kv_stride=1).float()
    x = torch.randn(1, 16, 12, 9)
    exact = m(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = m(x)
    assert torch.isfinite(half).all()
    torch.testing.assert_close(half.float(), exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"terms": "11"}, "four bits"),
        ({"terms": "1112"}, "four bits"),
        ({"heads": 0}, "heads"),
        ({"heads": 17}, "heads"),
        ({"kv_stride": 0}, "strides"),
        ({"position_dim": 6}, "divisible by 4"),
        ({"spatial_range": 0, "kv_stride": 2}, "without any key"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GeneralizedAttention2d(16, **arguments)
