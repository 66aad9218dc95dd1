"""MMSegmentation's heads as mechanisms, and our blocks in the place of its own."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
from torch import nn

from plugins.attention.core.cost import count, mechanisms_of
from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import cost_at
from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.contracts.tasks import find_task
from plugins.openmmlab.heads.building import mechanism_head, shipped_model
from plugins.openmmlab.heads.table import HEADS
from plugins.segmentation.config import segmentor
from plugins.segmentation.recipe import Recipe
from plugins.segmentation.task import Segmentation
from plugins.segmentation.train import cost
from study import data

CLASSES, CHANNELS, WIDE = 5, 16, 24
every_head = pytest.mark.parametrize("word", HEADS)


@pytest.fixture(scope="module", autouse=True)
def _mmseg():
    register_all_modules(init_default_scope=True)


def made(word, size, channels=CHANNELS, wide=WIDE):
    torch.manual_seed(0)
    return mechanism_head(word, wide, channels, size, num_classes=CLASSES)


def maps(size, batch=2):
    """What the four stages of a backbone give; heads look at the last ones."""
    return [torch.randn(batch, channels, *size) for channels in (3, 6, WIDE // 2, WIDE)]


def logits(out):
    return out if isinstance(out, torch.Tensor) else out[0]


def job(mechanism, sites, folder=None, seen=None, **recipe):
    return Job(
        mechanism=Word.parse(mechanism),
        sites=sites,
        seed=0,
        recipe=Recipe(**recipe),
        data=data.path("landcover"),
        folder=folder,
        device="cpu",
        record=lambda split, **said: None if seen is None else seen.append((split, said)),
        recorded=lambda split: [said for kind, said in seen or () if kind == split],
    )


@every_head
def test_at_its_authors_widths_it_is_the_head_that_mmsegmentation_ships(word):
    """Crops of 769, for which the mask of PSANet is made."""
    with torch.device("meta"):
        ours = made(word, (97, 97), 512, 2048)
        config = shipped_model(f"{HEADS[word].config}_r50-d8").decode_head
        config.update(num_classes=CLASSES, norm_cfg={"type": "BN"})
        theirs = MODELS.build(config)
    assert type(ours) is type(theirs)
    shapes = [{k: v.shape for k, v in head.state_dict().items()} for head in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert type(ours.loss_decode) is type(theirs.loss_decode)


@pytest.mark.parametrize("size", [(12, 10), (9, 13)], ids=str)
@every_head
def test_its_closed_form_is_what_its_parts_multiply(word, size):
    site = MapSite(places=tuple(Place), channels=CHANNELS, in_channels=WIDE, size=size)
    form = cost_at(Word.parse(word), site)
    found = []
    for device in ("cpu", "meta"):
        with torch.device(device):
            head, inputs = made(word, size), maps(size)
        found.append(count(head, lambda h=head, x=inputs: h(x), [WIDE, *size], inputs=2))
    assert found[0].mechanism == found[1].mechanism
    assert found[0].model == found[1].model
    macs, parameters = form.macs, form.parameters
    if word == "psa":  # the whole head is counted, its classifier too
        macs += size[0] * size[1] * CHANNELS * CLASSES
        parameters += (CHANNELS + 1) * CLASSES
    assert found[0].mechanism == {"macs": macs, "executed_macs": macs, "parameters": parameters}


@every_head
def test_the_formula_as_text_gives_the_number(word):
    (height, width), c, b = (16, 24), 32, 128
    site = MapSite(places=tuple(Place), channels=c, in_channels=b, size=(height, width))
    form = cost_at(Word.parse(word), site)
    n, keys = height * width, {"isa": 6 + 64, "ann": 110}.get(word, height * width)
    k = n // 4
    symbols = {
        "N": n, "C": c, "B": b, "H": height, "W": width, "K": k,
        "D": {"danet": c // 8, "ema": 64, "psa": 15 * 23}.get(word, c // 2),
        "P": k**2 if word == "psa" else n * keys,
    }  # fmt: skip
    python = str(form).replace("²", "**2").replace(" + ", "+").replace(" ", "*")
    python = python.replace("(K+H+W+4)", str(k + height + width + 4))
    assert eval(python, {}, symbols) == form.macs


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
@every_head
def test_layout_in_memory_and_half_precision_hardly_matter(word, kind):
    """DMHead and mmcv's mask of PSANet know neither."""
    size = (9, 14)
    head, inputs = made(word, size), maps(size)
    for parameter in head.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
    head.eval()
    expected = logits(head(inputs))
    last = copy.deepcopy(head).to(memory_format=torch.channels_last)
    moved = [x.contiguous(memory_format=torch.channels_last) for x in inputs]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind is torch.bfloat16):
        out = logits(last(moved))
    tolerance = 1e-5 if kind is torch.float32 else 0.05
    assert (out.float() - expected).std() <= tolerance * expected.std()
    out.float().square().sum().backward()
    got = [p.grad for p in last.parameters() if p.grad is not None]
    assert got
    assert all(grad.isfinite().all() for grad in got)


@pytest.mark.parametrize("word", ["danet", "dnl"])
def test_the_weights_shown_are_those_that_are_used(word):
    size, queries = (5, 7), [(0, 0), (4, 6), (2, 3)]
    head = made(word, size).double().eval()
    part = head.pam if word == "danet" else head.dnl_block
    for parameter in part.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
    found = part.mechanism.weights(part, x, queries=queries)
    weights = found["weights"]
    torch.testing.assert_close(weights.sum((3, 4)), torch.ones(2, 1, 3).double())
    if word == "danet":
        mean = torch.einsum("nchw,nqhw->ncq", part.value_project(x), weights[:, 0])
        added = part.gamma.scale * mean
    else:
        g = part.g(x)
        mean = torch.einsum("nchw,nqhw->ncq", g, weights[:, 0])
        mean = mean + torch.einsum("nchw,nhw->nc", g, found["mask"])[..., None]
        added = part.conv_out(mean[..., None])[..., 0]
    at = torch.stack([(part(x) - x)[..., r, c] for r, c in queries], dim=2)
    torch.testing.assert_close(added, at)
    others = [m for m in head.modules() if getattr(m, "mechanism", None) and m is not part]
    assert all(m.mechanism.weights(m, x, queries=queries) == {} for m in others)


@pytest.mark.parametrize(
    ("theirs", "ours", "module"),
    [
        ("nonlocal", "nonlocal:batch_norm=true", "nl_block"),
        ("gcnet", "global_context:reduction=4", "gc_block"),
        ("ccnet", "criss_cross", "cca"),
    ],
)
def test_our_block_in_the_head_is_the_head_that_mmsegmentation_ships(theirs, ours, module):
    config = shipped_model(f"{theirs}_r50-d8").decode_head
    changes = {"in_channels": WIDE, "channels": CHANNELS, "num_classes": CLASSES}
    config.update(changes, norm_cfg={"type": "BN"})
    expected = MODELS.build(config).double().eval()
    for tensor in expected.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.1, 0.9)
    plain = Config(dict(segmentor(job(ours, ("head",)), CLASSES).decode_head))
    plain.update(changes)
    head = MODELS.build(dict(plain)).double().eval()
    state = {}
    for name, value in expected.state_dict().items():
        name = name.replace(f"{module}.", "block.").replace("gamma.scale", "gamma")
        if ours.startswith("nonlocal"):
            name = name.replace(".conv_out.bn.", ".norm.")
        if name.startswith("block."):
            name = name.replace(".conv.", ".")
        state[name] = value.view_as(head.state_dict()[name])
    head.load_state_dict(state)
    inputs = [x.double() for x in maps((5, 7))]
    torch.testing.assert_close(head(inputs), expected(inputs), rtol=1e-10, atol=1e-12)


@pytest.mark.data
@every_head
def test_in_the_model_as_much_is_counted(word):
    counted = cost(job(word, ("head",)), CLASSES)
    form = cost_at(Word.parse(word), Segmentation().site("head", Recipe()))
    classifier = 16 * 16 * 64 * CLASSES if word == "psa" else 0
    assert counted.mechanism["macs"] == form.macs + classifier
    assert counted.model["executed_macs"] == counted.model["macs"]


@pytest.mark.data
def test_a_block_in_the_backbone_and_a_head_are_joined():
    word, sites = "0010+danet", Segmentation.default_sites
    Segmentation().check(Word.parse(word), sites, Recipe())
    model = MODELS.build(segmentor(job(word, sites), CLASSES))
    names = list(mechanisms_of(model))
    assert [name for name in names if name.startswith("decode_head")] == [
        "decode_head.pam", "decode_head.cam"
    ]  # fmt: skip
    assert len(names) == 2 + 2
    head, both = (cost(job(w, sites), CLASSES).mechanism for w in ("danet", word))
    blocks = cost(job("0010", ("conv4", "conv5")), CLASSES).mechanism
    assert both == {unit: head[unit] + blocks[unit] for unit in head}


@pytest.mark.parametrize(
    ("word", "sites", "recipe", "reason"),
    [
        ("0010+danet", ("head",), {}, "0010 stands .* there is none of that at 'head'"),
        ("danet", ("conv4", "conv5"), {}, "danet stands instead of the head"),
        ("danet+psp", ("head",), {}, "both danet and psp would stand instead of the head"),
        *(
            (word, ("head",), {"batch_size": 4, "accumulate": 4}, f"{word} normalises a mean")
            for word in ("psp", "aspp", "apc")
        ),
    ],
)
def test_what_cannot_be_is_refused_when_a_grid_is_planned(word, sites, recipe, reason):
    with pytest.raises(ValueError, match=reason):
        Segmentation().check(Word.parse(word), sites, Recipe(**recipe))


def test_a_detector_has_no_such_head():
    task = find_task("detection")
    with pytest.raises(ValueError, match="psp stands instead of the head"):
        task.check(Word.parse("psp"), task.default_sites, task.Recipe())


TOY = {
    "base_channels": 8, "head_channels": 16, "crop": (32, 48), "batch_size": 2, "epochs": 1,
    "training_images": 4, "evaluation_images": 1, "auxiliary_loss": 0, "dropout": 0,
}  # fmt: skip


@pytest.mark.data
@pytest.mark.train
@every_head
def test_it_trains_and_sees_images_larger_than_its_crops(word, tmp_path):
    """So are Cityscapes' where they are seen whole."""
    from plugins.segmentation.train import evaluate, train

    seen = []
    once = job(word, ("head",), tmp_path, seen, **TOY)
    train(once)
    split, said = seen[-1]
    assert (split, said["step"]) == ("val", 2)
    losses = next(said for split, said in seen if split == "train")
    assert (word == "danet") == ("decode.pam.loss_ce" in losses)
    if word in ("danet", "dnl"):
        assert evaluate(once, tmp_path / "checkpoints" / "epoch_1.pth")["mIoU"] == said["mIoU"]
        image = next((once.data / "leftImg8bit" / "val").rglob("*.png"))
        shown = Segmentation().look(once, str(image), None)
        assert any(name.endswith("/weights") for name in shown)


@pytest.mark.data
@pytest.mark.train
def test_what_a_head_remembers_is_resumed(tmp_path):
    """EMANet's bases move with the batches, and are no parameters."""
    from plugins.segmentation.train import train

    seen, newest = [], tmp_path / "checkpoints" / "epoch_2.pth"
    toy = {**TOY, "training_images": 2, "epochs": 2}
    found = []
    for _ in range(2):
        train(job("ema", ("head",), tmp_path, seen, **toy))
        found.append((torch.load(newest, weights_only=False)["state_dict"], seen[-1][1]["mIoU"]))
        newest.unlink()
    assert [said["step"] for split, said in seen if split == "val"] == [1, 2, 2]
    for name, tensor in found[0][0].items():
        assert torch.equal(tensor, found[1][0][name]), name
    assert found[0][1] == found[1][1]


@pytest.mark.data
@pytest.mark.parametrize("word", ["psa", "psp"])
def test_it_is_probed(word, tmp_path):
    toy = {**TOY, "precision": "bfloat16", "channels_last": True}
    assert Segmentation().probe(job(word, ("head",), tmp_path, **toy), 1).milliseconds
