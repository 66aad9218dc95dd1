"""Gather-excite, against loops over its formula."""

import re

import pytest
import torch

from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import placed
from plugins.attention.core.word import Word
from plugins.attention.maps.gates import cost
from plugins.contracts.tasks import find_task

from .made import CHANNELS, made

EPS = 1e-5  # of batch normalisation


def pooled(x, extent):
    """The mean over what lies less than `extent` from every `extent`-th position."""
    rows, columns = (range(0, length, extent) for length in x.shape[1:])

    def window(middle):
        return slice(max(middle - extent + 1, 0), middle + extent)

    cells = [x[:, window(row), window(column)].mean((1, 2)) for row in rows for column in columns]
    return torch.stack(cells, 1).unflatten(1, (len(rows), len(columns)))


def convolved(x, conv, norm):
    """A 3x3 kernel a channel around every second position; the norm's statistics are 0 and 1."""
    channels, height, width = x.shape
    out = x.new_zeros(channels, -(-height // 2), -(-width // 2))
    for row in range(out.shape[1]):
        for column in range(out.shape[2]):
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    r, c = 2 * row + down, 2 * column + right
                    if 0 <= r < height and 0 <= c < width:
                        out[:, row, column] += conv.weight[:, 0, down + 1, right + 1] * x[:, r, c]
    scale, shift = norm.weight / (1 + EPS) ** 0.5, norm.bias
    return scale[:, None, None] * out + shift[:, None, None]


def excited(x, first, last):
    hidden = torch.einsum("hc,cyx->hyx", first.weight[:, :, 0, 0], x) + first.bias[:, None, None]
    out = torch.einsum("ch,hyx->cyx", last.weight[:, :, 0, 0], hidden.clamp(min=0))
    return out + last.bias[:, None, None]


def by_the_formula(module, x, parameters, extent):
    if parameters == "none":
        cells = pooled(x, extent) if extent else x.mean((1, 2), keepdim=True)
    else:
        cells = x
        layers = [layer for layer in module.gather if not isinstance(layer, torch.nn.ReLU)]
        for number, (conv, norm) in enumerate(zip(layers[::2], layers[1::2], strict=True)):
            cells = convolved(cells.clamp(min=0) if number else cells, conv, norm)
        assert len(layers) == 2 * {2: 1, 4: 2, 8: 3}[extent]
    if parameters == "plus":
        cells = excited(cells, module.excite[0], module.excite[2])
    out, (_, height, width) = torch.empty_like(x), x.shape
    for row in range(height):
        for column in range(width):
            cell = cells[:, row * cells.shape[1] // height, column * cells.shape[2] // width]
            out[:, row, column] = x[:, row, column] / (1 + torch.exp(-cell))
    return out, 1 / (1 + torch.exp(-cells))


FORMS = [
    *[("none", extent) for extent in (0, 2, 4, 8)],
    *[(parameters, extent) for parameters in ("some", "plus") for extent in (2, 4, 8)],
]


@pytest.mark.parametrize("size", [(9, 12), (16, 8)], ids=str)
@pytest.mark.parametrize(("parameters", "extent"), FORMS)
def test_it_is_its_formula(parameters, extent, size):
    options = f":parameters={parameters}" * (parameters != "none") + f":extent={extent}" * (
        extent != 0
    )
    module = made(f"gather_excite{options}").double().eval()
    x = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
    found = module.mechanism.weights(module, x)
    for image in range(2):
        out, gate = by_the_formula(module, x[image], parameters, extent)
        torch.testing.assert_close(module(x)[image], out, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found["gate"][image], gate.mean((1, 2)))
        if extent:
            torch.testing.assert_close(found["mask"][image], gate.mean(0))
    assert ("mask" in found) == bool(extent)


@pytest.mark.parametrize("parameters", ["none", "some", "plus"])
def test_the_formula_as_text_gives_the_number(parameters):
    form = cost.gather_excite((16, 24), 32, parameters=parameters, extent=8)
    text = re.sub(r"(?<=[\w²]) (?=\w)", "*", str(form)).replace("²", "**2")
    assert eval(text, {}, {"N": 16 * 24, "C": 32, "r": 16, "e": 8}) == form.macs


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("gather_excite:extent=3", "extent=3: an extent is 2, 4 or 8, or 0 for the whole map"),
        ("gather_excite:parameters=many", "parameters=many: Input should be 'none', 'some' or"),
        ("gather_excite:parameters=plus", "kernels of the map's size.*add extent=2, 4 or 8"),
    ],
)
def test_what_is_no_form_of_it_is_refused(word, reason):
    with pytest.raises(ValueError, match=reason):
        Word.parse(word)


def test_a_map_that_is_a_single_cell_is_refused_when_it_is_known():
    word = Word.parse("gather_excite:parameters=some:extent=8")
    for size, fits in [((0, 0), True), ((5, 9), True), ((8, 8), False), ((4, 7), False)]:
        sites = {"conv5": MapSite(places=(Place.AFTER,), channels=CHANNELS, size=size)}
        if fits:
            assert placed(word, sites)
        else:
            with pytest.raises(ValueError, match="at 'conv5': extent 8 makes one cell of the who"):
                placed(word, sites)


@pytest.mark.parametrize(
    ("task", "size"),
    [("detection", {"image_scale": (256, 128)}), ("segmentation", {"crop": (64, 48)})],
)
def test_a_grid_knows_the_sizes_of_maps_and_whether_they_are_pretrained(task, size):
    task, word = find_task(task), Word.parse("gather_excite:extent=8")
    recipe = task.Recipe(**size)
    assert task.site("conv5", recipe).size == ((4, 8) if "image_scale" in size else (8, 6))
    with pytest.raises(ValueError, match="one cell of the whole map"):
        task.check(word, ("conv5",), recipe)
    task.check(Word.parse("gather_excite:extent=4"), ("conv4", "conv5"), recipe)
    task.check(word, ("before:layer4.*.conv2",), recipe)  # which only the network can tell
    pretrained = task.Recipe(**size, pretrained="torchvision://resnet50")
    for sites in [("conv4",), ("after:layer3",)]:
        with pytest.raises(ValueError, match="its gates cannot start open"):
            task.check(Word.parse("gather_excite:extent=4"), sites, pretrained)
        task.check(Word.parse("gather_excite:parameters=some:extent=4"), sites, pretrained)
