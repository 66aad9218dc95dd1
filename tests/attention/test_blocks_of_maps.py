"""What all blocks of a map have in common that let its positions see each other."""

import copy
from dataclasses import replace

import pytest
import torch
from mmengine.model import Sequential
from torch import nn

from plugins.attention.core.cost import count
from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word

WORDS = [
    "nonlocal",
    "nonlocal:mode=gaussian",
    "nonlocal:mode=dot_product",
    "nonlocal:mode=concatenation",
    "nonlocal:mode=gaussian:subsample=true",
    "nonlocal:mode=concatenation:subsample=true:reduction=4",
    "nonlocal:subsample=true:batch_norm=true",
    "global_context",
    "global_context:reduction=4",
    "criss_cross",
    "criss_cross:recurrences=1",
    "sagan",
]
SITE = MapSite(places=(Place.AFTER,), channels=32, size=(5, 7))
SHAPES = [(1, 32, 5, 7), (2, 32, 7, 4), (2, 32, 1, 3), (1, 32, 1, 1)]


def made(word, started=False):
    """The block, and unless it is as `started`, with weights that are all of them random."""
    torch.manual_seed(0)
    (part,) = Word.parse(word).parts
    block = build(part, SITE).eval()
    if not started:
        for parameter in block.parameters():
            nn.init.normal_(parameter, std=0.3)
    return block


@pytest.mark.parametrize("word", WORDS)
def test_it_multiplies_and_learns_what_its_closed_form_says(word):
    block, (part,) = made(word), Word.parse(word).parts
    for batch, channels, *size in SHAPES:
        x = torch.zeros(batch, channels, *size)
        cost = count(block, lambda x=x: block(x), [channels, *size], inputs=batch).mechanism
        form = part.cost(replace(SITE, size=tuple(size)))
        assert (cost["macs"], cost["parameters"]) == (form.macs, form.parameters)
        executed = form.macs
        if part.name == "criss_cross":  # a query stands in its row and, masked, in its column
            executed += part.recurrences * size[0] * size[1] * (32 + 4)
        # See test_non_local.py; and einsum multiplies vectors of one element without a product.
        if "concatenation" not in word and 1 not in size:
            assert cost["executed_macs"] == executed


@pytest.mark.parametrize("word", WORDS)
def test_on_the_meta_device_the_same_is_counted(word):
    (part,) = Word.parse(word).parts
    found = []
    for device in ("meta", "cpu"):
        with torch.device(device):
            block, x = build(part, SITE), torch.zeros(1, 32, 6, 9)
        cost = count(block, lambda block=block, x=x: block(x), [32, 6, 9])
        found.append((cost.mechanism, cost.model))
    assert found[0] == found[1]


@pytest.mark.parametrize("word", WORDS)
def test_the_formula_as_text_gives_the_number(word):
    (part,) = Word.parse(word).parts
    form = part.cost(SITE)
    n, c = 35, 32
    keys = 2 * 3 if word == "sagan" or getattr(part, "subsample", False) else n
    if part.name == "criss_cross":
        keys = 5 + 7 - 1
    symbols = {"N": n, "C": c, "D": c // getattr(part, "reduction", 8), "P": n * keys}
    python = str(form).replace("²", "**2").replace(" + ", "+").replace(" ", "*")
    assert eval(python, {}, symbols) == form.macs


@pytest.mark.parametrize("word", WORDS)
def test_gradients_are_those_of_finite_differences(word):
    block = made(word).double()
    x = torch.randn(2, 32, 3, 4, dtype=torch.float64, requires_grad=True)
    names, values = zip(*block.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("word", WORDS)
def test_images_of_a_batch_and_their_layout_in_memory_change_nothing(word, shape):
    block = made(word).double()
    x = torch.randn(3, *shape[1:], dtype=torch.float64)
    out = block(x)
    assert out.shape == x.shape
    torch.testing.assert_close(torch.cat([block(image[None]) for image in x]), out)
    last = copy.deepcopy(block).to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(x.contiguous(memory_format=torch.channels_last)), out)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("word", WORDS)
def test_in_half_precision_it_is_near_single(word, kind):
    block = made(word)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.15)
    x = torch.randn(2, 32, 9, 14, requires_grad=True)
    expected = block(x)
    with torch.autocast("cpu", dtype=kind):
        out = block(x)
    added, rounded = expected - x, out.float() - x
    assert rounded.isfinite().all()
    assert (rounded - added).std() < (0.05 if kind is torch.bfloat16 else 0.01) * added.std()
    out.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())


@pytest.mark.parametrize(
    "word", ["nonlocal:subsample=true:batch_norm=true", "global_context", "criss_cross", "sagan"]
)
def test_one_graph_serves_maps_of_any_size(word):
    block = made(word).train()
    twin = copy.deepcopy(block)
    torch._dynamo.reset()
    compiled = torch.compile(twin, fullgraph=True, dynamic=True, backend="eager")
    for size in [(5, 7), (6, 11)]:
        x = torch.randn(2, 32, *size)
        with torch._dynamo.config.patch(error_on_recompile=size == (6, 11)):
            torch.testing.assert_close(compiled(x), block(x), rtol=1e-4, atol=1e-5)
    torch._dynamo.reset()


@pytest.mark.parametrize("word", WORDS)
def test_it_starts_as_the_identity_and_learns(word):
    block, x = made(word, started=True).train(), torch.randn(2, 32, 5, 7)
    assert torch.equal(block(x), x)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (block(x) - x.flip(3)).square().mean().backward()
        optimizer.step()
    assert not torch.equal(block(x), x)


@pytest.mark.parametrize("word", WORDS)
def test_a_backbone_that_initialises_all_its_layers_leaves_the_identity(word):
    """As MMDetection's ResNet does with what stands in its residual blocks."""
    block, x = made(word, started=True), torch.randn(2, 32, 5, 7)
    kinds = [
        {"type": "Kaiming", "layer": "Conv2d"},
        {"type": "Constant", "val": 1, "layer": ["_BatchNorm", "GroupNorm"]},
    ]
    net = Sequential(block, init_cfg=kinds)
    net.init_weights()
    assert torch.equal(net(x), x)


@pytest.mark.parametrize("word", WORDS)
def test_rows_of_its_weights_are_given_for_a_look(word):
    block, x = made(word), torch.randn(2, 32, 5, 7)
    queries = [(0, 0), (4, 6), (2, 3)]
    weights = block.mechanism.weights(block, x, queries=queries)["weights"]
    pooled = word == "sagan" or "subsample" in word
    assert weights.shape == (2, 1, 3, *((2, 3) if pooled else (5, 7)))
    if "dot_product" not in word and "concatenation" not in word:
        torch.testing.assert_close(weights.sum((3, 4)), torch.ones(2, 1, 3))
    alone = block.mechanism.weights(block, x, queries=queries[1:2])["weights"]
    torch.testing.assert_close(alone, weights[:, :, 1:2])
    for outside in [(5, 0), (0, 7), (-1, 0)]:
        with pytest.raises(ValueError, match=r"outside of the map of \(5, 7\)"):
            block.mechanism.weights(block, x, queries=[outside])


@pytest.mark.parametrize(
    ("word", "channels", "message"),
    [
        ("nonlocal:reduction=64", 32, "leaves none of 32 channels; 32 is the largest"),
        ("global_context", 16, "leaves 1, and layer normalisation needs two; 8 is the largest"),
        ("sagan", 7, "an eighth of the channels, and of 7 that is none; there must be 8"),
        ("criss_cross", 7, "an eighth of the channels, and of 7 that is none; there must be 8"),
    ],
)
def test_what_leaves_no_channel_is_refused_when_a_grid_is_planned(word, channels, message):
    (part,) = Word.parse(word).parts
    part.check(replace(SITE, channels=0))  # not known yet
    with pytest.raises(ValueError, match=message):
        part.check(replace(SITE, channels=channels))
