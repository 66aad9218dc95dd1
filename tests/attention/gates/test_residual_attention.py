"""Residual attention, against loops over its formula and the sizes of the authors' network."""

import math
import re

import pytest
import torch

from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import placed
from plugins.attention.core.word import Word
from plugins.attention.maps.gates import cost
from plugins.attention.maps.residual_attention import MaskBranch

from .made import CHANNELS, made

EPS = 1e-5  # of batch normalisation


def normalised(x, norm):
    """The norm's statistics are 0 and 1."""
    scale = norm.weight / math.sqrt(1 + EPS)
    return (scale[:, None, None] * x + norm.bias[:, None, None]).clamp(min=0)


def convolved(x, conv):
    (_, height, width), reach = x.shape, conv.kernel_size[0] // 2
    out = x.new_zeros(conv.out_channels, height, width)
    for row in range(height):
        for column in range(width):
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    r, c = row + down, column + right
                    if 0 <= r < height and 0 <= c < width:
                        out[:, row, column] += (
                            conv.weight[:, :, down + reach, right + reach] @ (x[:, r, c])
                        )
    return out if conv.bias is None else out + conv.bias[:, None, None]


def layers(x, sequence):
    """Norm, ReLU, convolution, as often as there are three in a sequence."""
    for norm, conv in zip(sequence[::3], sequence[2::3], strict=True):
        x = convolved(normalised(x, norm), conv)
    return x


def unit(x, module):
    return x + layers(x, module.layers)


def halved(x):
    _, height, width = x.shape
    return torch.stack(
        [
            torch.stack(
                [
                    x[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].amax((1, 2))
                    for column in range(0, width, 2)
                ],
                1,
            )
            for row in range(0, height, 2)
        ],
        1,
    )


def enlarged(x, size):
    """Between the nearest rows and columns, in proportion; the outermost stay outermost."""

    def shares(length, wanted):
        found = x.new_zeros(wanted, length)
        for place in range(wanted):
            at = place * (length - 1) / (wanted - 1) if wanted > 1 else 0.0
            low = min(int(at), length - 1)
            high = min(low + 1, length - 1)
            found[place, low] += 1 - (at - low)
            found[place, high] += at - low
        return found

    return torch.einsum(
        "yr,xc,krc->kyx", shares(x.shape[1], size[0]), shares(x.shape[2], size[1]), x
    )


def by_the_paper(x, branch, levels):
    """Figure 2 and the authors' network: r = 1 unit, twice that at the bottom."""
    maps = [x]
    for level in range(levels):
        maps.append(unit(halved(maps[-1]), branch.down[level]))
    inner = unit(maps[-1], branch.bottom)
    for step, level in enumerate(range(levels - 1, 0, -1)):
        inner = enlarged(inner, maps[level].shape[1:]) + unit(maps[level], branch.skip[level - 1])
        inner = unit(inner, branch.up[step])
    logits = layers(enlarged(inner, x.shape[1:]), branch.head)
    return 1 / (1 + torch.exp(-logits))


@pytest.mark.parametrize("size", [(5, 8), (9, 12), (1, 3)], ids=str)
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_it_is_its_formula(levels, size):
    option = "" if levels == 1 else f":levels={levels}"
    module = made(f"residual_attention{option}").double().eval()
    x = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
    found = module.mechanism.weights(module, x)
    for image in range(2):
        mask = by_the_paper(x[image], module.mask, levels)
        for ours, theirs in (
            (module(x)[image], (1 + mask) * x[image]),
            (found["gate"][image], mask.mean((1, 2))),
            (found["mask"][image], mask.mean(0)),
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("levels", "known"), [(1, 2.53), (2, 2.93), (3, 3.03)])
def test_it_costs_what_the_stages_of_attention_56_do(levels, known):
    """Of N C² multiply-accumulates, of which two are the layers before the sigmoid."""
    form = cost.residual_attention((64, 32), 256, levels=levels)
    assert form.macs / (64 * 32 * 256**2) == pytest.approx(known, abs=0.005)
    text = re.sub(r"(?<=[\w²]) (?=\w)", "*", str(form)).replace("²", "**2")
    assert eval(text, {}, {"N": 64 * 32, "C": 256, "D": 64}) == form.macs


def test_the_branch_alone_starts_in_the_middle_and_the_block_near_the_identity():
    torch.manual_seed(0)
    x = torch.randn(2, 16, 12, 9)
    assert MaskBranch(16, 2)(x).mean().item() == pytest.approx(0.5, abs=0.1)
    block = made("residual_attention", 16, learned=False)
    torch.testing.assert_close(block(x), (1 + 1 / (1 + math.exp(4))) * x)


def test_levels_that_leave_one_position_are_refused_when_the_size_is_known():
    word = Word.parse("residual_attention:levels=2")
    for size, fits in [((0, 0), True), ((3, 5), True), ((4, 4), False), ((1, 1), False)]:
        sites = {"conv5": MapSite(places=(Place.AFTER,), channels=CHANNELS, size=size)}
        if fits:
            assert placed(word, sites)
        else:
            with pytest.raises(ValueError, match="levels=2 leaves a single position") as refused:
                placed(word, sites)
            assert ("levels=1 is the most" in str(refused.value)) == (size == (4, 4))


@pytest.mark.parametrize("levels", [0, 4])
def test_levels_are_from_one_to_three(levels):
    with pytest.raises(ValueError, match=f"levels={levels}: Input should be"):
        Word.parse(f"residual_attention:levels={levels}")
