"""What may be registered, and that what is registered works in every framework."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from plugins.attention.core import registry
from plugins.attention.core.cost import count
from plugins.attention.core.registry import ClosedForm, Registered, layer_cost, register, words
from plugins.attention.core.word import TERM_SETS, Mechanism
from plugins.attention.maps.generalized import GeneralizedAttention2d
from plugins.attention.sequences.generalized import GeneralizedAttention1d
from plugins.openmmlab import sites
from plugins.translation.attention import CrossAttention, SelfAttention, build_attention

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kinds(monkeypatch):
    """Undo what a test registers."""
    words()
    monkeypatch.setattr(registry, "_kinds", dict(registry._kinds))


class OneHead(Registered):
    """`0010` with one head, for sequences."""

    formula = "softmax_k(u·k)"
    paper = "this test"
    url = "https://example.org"
    sequence = "plugins.attention.sequences.generalized.GeneralizedAttention1d"

    def sequence_arguments(self, mechanism, heads, causal, key_channels):
        return {"heads": 1, "terms": "0010", "key_channels": key_channels}

    def sequence_cost(self, queries, keys, channels, **arguments):
        return registry.registered("0010").sequence_cost(queries, keys, channels, **arguments)


def test_the_words_are_those_of_the_grammar():
    assert set(words()) >= {"none", "dynamic", *TERM_SETS}
    assert all(Mechanism.parse(word).base == word for word in words())


def changed(**attributes):
    return type("Changed", (OneHead,), attributes)


@pytest.mark.parametrize(
    ("word", "kind", "message"),
    [
        ("0110", OneHead, "'0110' is taken by .*generalized.Generalized"),
        ("One", OneHead, "'One' is no name"),
        ("2022", OneHead, "'2022' is no name"),
        ("one@3", OneHead, "'one@3' is no name"),
        ("one+deformable", OneHead, "is no name"),
        ("one", changed(formula=""), "'one' has no 'formula'"),
        ("one", changed(paper=""), "'one' has no 'paper'"),
        ("one", changed(url=""), "'one' has no 'url'"),
        ("one", changed(sequence=None), "neither 'block' nor 'sequence'"),
        ("one", changed(block="some.Block"), "a 'block' but no 'block_cost'"),
        (
            "one",
            changed(sequence_cost=Registered.sequence_cost),
            "a 'sequence' but no 'sequence_cost'",
        ),
    ],
)
def test_what_is_incomplete_or_has_a_wrong_name_is_refused(kinds, word, kind, message):
    before = words()
    with pytest.raises(ValueError, match=message):
        register(word)(kind)
    assert words() == before


def test_a_name_is_registered_once(kinds):
    register("one")(OneHead)
    with pytest.raises(ValueError, match=r"'one' is taken by .*OneHead"):
        register("one")(OneHead)


def test_a_registered_name_is_a_word(kinds):
    with pytest.raises(ValueError, match="unknown mechanism 'one'"):
        Mechanism.parse("one")
    register("one")(OneHead)
    for word in ("one", "one+deformable"):
        assert str(Mechanism.parse(word)) == word
    assert Mechanism.parse("one").terms is None
    with pytest.raises(ValueError, match="'one' has no spatial range"):
        Mechanism.parse("one@3")
    with pytest.raises(ValueError, match="did you mean 'one'"):
        Mechanism.parse("onee")
    register("wide")(changed(ranged=True))
    assert Mechanism.parse("wide@3").spatial_range == 3


def test_a_registered_name_fills_a_translation_layer(kinds):
    register("one")(OneHead)
    for place, slot_type in (("encoder", SelfAttention), ("cross", CrossAttention)):
        slot = build_attention(Mechanism.parse("one"), place, 8, 2)
        assert isinstance(slot, slot_type)
        assert isinstance(slot.attention, GeneralizedAttention1d)
        assert (slot.attention.heads, slot.attention.terms) == (1, "0010")
    x = torch.randn(5, 1, 8)
    cost = count(slot, lambda: slot(x, x, x), [5])
    assert cost.mechanism["macs"] == layer_cost(Mechanism("one"), 5, 5, channels=8, heads=2).macs
    with pytest.raises(ValueError, match="'one' has no block for feature maps"):
        sites.check(Mechanism.parse("one"), kv_stride=2)


class Halved(GeneralizedAttention2d):
    """A block that derives from another."""


def test_a_block_costs_its_own_closed_form_not_that_of_its_base_class(kinds):
    form = ClosedForm((("1", 7),), 0)
    register("halved")(
        changed(sequence=None, block=f"{__name__}.Halved", block_cost=lambda *_, **__: form)
    )
    block, x = Halved(8, 2), torch.randn(3, 8, 4, 6)
    assert count(block, lambda: block(x), [8, 4, 6], inputs=3).mechanism["macs"] == 7
    cfg = sites.block(Mechanism.parse("halved"), 2, 2)
    assert cfg == {"type": f"{__name__}.Halved"}


def test_what_has_no_module_for_a_place_is_refused_there(kinds):
    register("map_only")(
        changed(sequence=None, block="some.Block", block_cost=lambda *_: ClosedForm((), 0))
    )
    register("framed")(changed(framed=True))
    for word, place in (("map_only", "encoder"), ("framed", "cross")):
        with pytest.raises(ValueError, match=f"'{word}' cannot stand at '{place}'"):
            build_attention(Mechanism.parse(word), place, 8, 2)


IN_SELF_ATTENTION = (
    *(*TERM_SETS, "0010@2", "1111@2", "none", "dynamic", "dynamic@3"),
    *("none+deformable", "0010+deformable", "dynamic+deformable"),
)


@pytest.mark.parametrize(
    ("word", "place"),
    [(word, place) for word in IN_SELF_ATTENTION for place in ("encoder", "decoder")]
    + [(word, "cross") for word in TERM_SETS],
)
def test_a_translation_layer_costs_its_closed_form(word, place):
    mechanism, keys = Mechanism.parse(word), 9 if place == "cross" else 7
    width = 12 if place == "cross" else 8
    slot = build_attention(mechanism, place, 8, 2, 12 if place == "cross" else None)
    query, memory = torch.randn(7, 2, 8), torch.randn(keys, 2, width)
    if place != "cross":
        memory = query
    mask = torch.zeros(7, 7).fill_(-torch.inf).triu(1) if place == "decoder" else None
    cost = count(
        slot, lambda: slot(query=query, key=memory, value=memory, attn_mask=mask), [7], inputs=2
    )
    form = layer_cost(
        mechanism,
        7,
        keys,
        channels=8,
        heads=2,
        causal=place == "decoder",
        key_channels=12 if place == "cross" else None,
    )
    assert (cost.mechanism["macs"], cost.mechanism["parameters"]) == (form.macs, form.parameters)
    assert cost.model == cost.mechanism


def test_planning_and_closed_forms_need_no_torch():
    code = """
        import sys
        from plugins.attention.core.word import Mechanism
        from plugins.attention.core.registry import layer_cost, registered, words
        from plugins.openmmlab import sites
        for word in words():
            mechanism = Mechanism.parse(word)
            sites.check(mechanism, 2)
            layer_cost(mechanism, 5, 5, channels=8, heads=2)
        sys.exit("torch" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_page_that_tells_how_to_add_one_works_to_the_letter(tmp_path):
    page = (ROOT / "docs/mechanisms.md").read_text()
    path, code = re.search(r"this is `(\S+)`:\n\n```python\n(.*?)```", page, re.S).groups()
    stock = re.search(r"`type='(\S+)'`", page)[1]
    shutil.copytree(
        ROOT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / path).write_text(code)
    script = f"""
        import torch
        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules
        from mmseg.registry import MODELS as SEGMENTATION
        import plugins
        from plugins.attention.core.cost import count, mechanisms_of
        from plugins.attention.core.word import Mechanism
        from plugins.attention.core.registry import registered
        from plugins.openmmlab import blocks, sites

        assert plugins.__file__.startswith({str(tmp_path)!r})
        register_all_modules()
        resnet = {{"type": "ResNet", "depth": 50, "base_channels": 16, "stem_channels": 16}}
        plain = MODELS.build(resnet)
        x = torch.zeros(1, 3, 64, 96)
        before = count(plain, lambda: plain(x), [3, 64, 96]).model
        at = ("conv4", "conv5")
        for word in ("context", "context+deformable"):
            added = sites.backbone_arguments(Mechanism.parse(word), at, heads=8, kv_stride=2)
            assert added["plugins"][0]["cfg"]["type"] == {stock!r}
            model = MODELS.build({{**resnet, **added}})
            cost = count(model, lambda: model(x), [3, 64, 96])
            for unit in ("macs", "executed_macs", "parameters"):
                assert cost.model[unit] - before[unit] == cost.mechanism[unit] > 0, unit
        model = MODELS.build({{**resnet, "plugins": added["plugins"]}})
        cost = count(model, lambda: model(x), [3, 64, 96]).mechanism
        kind = registered("context")
        forms = 6 * [kind.block_cost((4, 6), 64)] + 3 * [kind.block_cost((2, 3), 128)]
        assert len(mechanisms_of(model)) == 9
        in_head = sites.block(Mechanism.parse("context"), heads=8, kv_stride=2)
        assert mechanisms_of(SEGMENTATION.build({{**in_head, "in_channels": 16}}))
        assert cost["macs"] == cost["executed_macs"] == sum(form.macs for form in forms)
        assert cost["parameters"] == sum(form.parameters for form in forms)
    """
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    options = {"capture_output": True, "text": True, "check": False}
    options |= {"env": environment, "cwd": tmp_path}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], **options)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run([sys.executable, "-m", "study", "mechanisms", "--json"], **options)
    assert listed.returncode == 0, listed.stderr
    context = next(row for row in json.loads(listed.stdout) if row["mechanism"] == "context")
    assert context["url"].endswith("1904.11492")
    assert context["map"]["formula"] == "2 N C + 2 C²/ratio"
    assert context["sequence"] is None
    wrong = "from plugins.attention.core.word import Mechanism; Mechanism.parse('contxt')"
    done = subprocess.run([sys.executable, "-c", wrong], **options)
    assert "did you mean 'context'" in done.stderr
