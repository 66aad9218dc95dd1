"""What a mechanism must say, and that what says it works in every framework."""

import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from plugins.attention.core import registry
from plugins.attention.core.cost import count, mechanisms_of
from plugins.attention.core.mechanism import Mechanism
from plugins.attention.core.site import MapSite, PairSite, Place
from plugins.attention.core.standing import build, cost_at, parts_at, placed
from plugins.attention.core.word import TERM_SETS, Word
from plugins.attention.sequences.generalized import GeneralizedAttention1d
from plugins.translation.attention import Attention, build_attention
from plugins.translation.sites import sequence_site

from .invented import Gate, Mixed, installed

ROOT = Path(__file__).parents[2]


def changed(**attributes):
    return type("Changed", (Gate,), {"__module__": Gate.__module__, **attributes})


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("Gate", changed(name="Gate"), "'Gate' is no name"),
        ("2022", changed(name="2022"), "'2022' is no name"),
        ("a+b", changed(name="a+b"), "'a\\+b' is no name"),
        ("gate", changed(formula=""), "'gate' has no 'formula'"),
        ("gate", changed(paper=""), "'gate' has no 'paper'"),
        ("gate", changed(url=""), "'gate' has no 'url'"),
        ("gate", changed(places={}), "'gate' has no 'places'"),
        ("gate", changed(build=Mechanism.build), "'gate' has no 'build'"),
        ("gate", changed(cost=Mechanism.cost), "'gate' has no 'cost'"),
        ("door", Gate, "entry point is 'door', the mechanism calls itself 'gate'"),
        ("gate", dict, "no class derived from Mechanism"),
    ],
)
def test_what_is_incomplete_or_has_a_wrong_name_is_refused(name, kind, message):
    with installed(**{name: kind}), pytest.raises(registry.BrokenMechanism, match=message):
        registry.mechanism_class(name)


def test_a_package_that_cannot_be_imported_is_named_where_its_word_is_used(monkeypatch):
    from importlib.metadata import EntryPoint

    broken = EntryPoint("broken", "no_such_package.module:Broken", registry.ENTRY_POINTS)
    entries = {**registry._entries(), "broken": broken}
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    registry.mechanism_class.cache_clear()
    assert str(Word.parse("0010")) == "0010"
    with pytest.raises(ValueError, match="'broken' cannot be imported from no_such_package"):
        Word.parse("broken")


def test_two_packages_with_one_name_are_refused(monkeypatch):
    from importlib.metadata import EntryPoint

    twice = [EntryPoint("gate", f"{name}:Gate", registry.ENTRY_POINTS) for name in ("one", "other")]
    monkeypatch.setattr(registry, "entry_points", lambda group: twice)
    with pytest.raises(registry.BrokenMechanism, match="one:Gate and other:Gate"):
        registry._entries.__wrapped__()


STAGE = MapSite(places=(Place.AFTER, Place.INSTEAD, Place.BRANCH), channels=16, heads=4)


def test_parts_that_take_different_places_stand_together():
    with installed(gate=Gate, mixed=Mixed):
        word = Word.parse("gate+mixed+deformable")
        taken = parts_at(word, STAGE)
        assert {place.name: part.name for place, part in taken.items()} == {
            "AFTER": "gate",
            "BRANCH": "mixed",
            "INSTEAD": "deformable",
        }
        with pytest.raises(ValueError, match="both 0010 and gate would stand after the 3x3"):
            parts_at(Word.parse("0010+gate"), STAGE)


def test_a_part_without_a_place_is_refused_with_a_sentence():
    sites = {"conv4": STAGE, "encoder": sequence_site("encoder", 8, 2)}
    with installed(gate=Gate, mixed=Mixed):
        for word, name, message in [
            ("mixed", "encoder", "mixed is for maps and pairs, and 'encoder' is for sequences"),
            (
                "dynamic@2",
                "cross",
                "'dynamic@2' cannot stand at 'cross': convolutions are compared",
            ),
            (
                "1111@1",
                "strided",
                "with kv_stride 3 a range below 2 leaves queries without",
            ),
            ("0100", "pair", "E2 and E4 need positions"),
            ("mixed", "head", "mixed stands on the branch before the residual sum, and there is"),
        ]:
            known = {
                **sites,
                "cross": sequence_site("cross", 8, 2),
                "strided": replace(STAGE, kv_stride=3),
                "pair": PairSite(channels=8, key_channels=6, heads=2),
                "head": MapSite(places=(Place.BACKBONE,), channels=16),
            }
            with pytest.raises(ValueError, match=re.escape(message)):
                placed(Word.parse(word), {name: known[name]})


def test_what_a_mechanism_builds_is_counted_by_its_own_closed_form():
    with installed(gate=Gate):
        part = Gate(ratio=2)
        module, x = build(part, STAGE.at(Place.AFTER)), torch.randn(3, 16, 4, 6)
        assert mechanisms_of(module) == {"": module}
        cost = count(module, lambda: module(x), [16, 4, 6], inputs=3)
        form = part.cost(replace(STAGE, size=(4, 6)))
        assert (cost.mechanism["macs"], cost.mechanism["parameters"]) == (
            form.macs,
            form.parameters,
        )
        assert cost.mechanism["executed_macs"] == form.macs == 2 * 16 * 8


@pytest.mark.parametrize("part", ["encoder", "decoder", "cross"])
def test_a_module_of_one_method_fills_a_layer_and_decodes_step_by_step(part):
    torch.manual_seed(0)
    with installed(gate=Gate):
        unit = build_attention(Word.parse("gate"), part, 8, 2, 8).eval()
        assert isinstance(unit, Attention)
        x, source = torch.randn(5, 2, 8), torch.randn(4, 2, 8)
        memory = source if part == "cross" else x
        mask = torch.zeros(5, 5).fill_(-torch.inf).triu(1) if part == "decoder" else None
        whole, _ = unit(x, memory, memory, attn_mask=mask, need_weights=False)
        if part != "encoder":
            state = {}
            steps = [
                unit(step, source if part == "cross" else step, None, incremental_state=state)[0]
                for step in x.split(1)
            ]
            torch.testing.assert_close(torch.cat(steps), whole)
        cost = count(unit, lambda: unit(x[:, :1], memory[:, :1], None), [5])
        site = replace(sequence_site(part, 8, 2, 8), queries=5, keys=len(memory))
        assert cost.mechanism["macs"] == cost_at(Word.parse("gate"), site).macs == 5 * 64


def test_the_term_sets_of_content_stand_between_two_sets():
    torch.manual_seed(0)
    site = PairSite(channels=8, key_channels=6, heads=2, queries=3, keys=5)
    query, memory = torch.randn(2, 3, 8), torch.randn(2, 5, 6)
    hidden = torch.zeros(2, 5, dtype=torch.bool)
    hidden[1, 3:] = True
    for terms in ("0000", "0010", "1000", "1010"):
        (part,) = Word.parse(terms).parts
        module = build(part, site)
        assert isinstance(module, GeneralizedAttention1d)
        out = module(query, memory, key_padding_mask=hidden)
        assert out.shape == (2, 3, 8)
        alone = module(query[1:], memory[1:, :3])
        torch.testing.assert_close(out[1:], alone)
        weights = part.weights(module, query, memory)["weights"]
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        seen = part.weights(module, query, memory, hidden)["weights"].expand(2, 2, 3, 5)
        assert (seen[1, ..., 3:] == 0).all()
        torch.testing.assert_close(seen.sum(-1), torch.ones(2, 2, 3))
        assert sum(p.numel() for p in module.parameters()) == part.cost(site).parameters


def test_what_a_mechanism_does_not_use_is_not_in_the_identity_of_its_runs():
    with installed(gate=Gate, mixed=Mixed):
        assert Word.parse("gate").uses == frozenset()
        assert Word.parse("gate+deformable").uses == frozenset()
        for word in (*TERM_SETS, "none", "dynamic@2", "none+deformable", "0010+deformable"):
            assert Word.parse(word).uses == {"heads", "kv_stride"}


def test_versions_beyond_the_first_are_named():
    with installed(gate=changed(version=3)):
        assert Word.parse("gate+deformable").versions == {"gate": 3}
        assert Word.parse("1111+deformable").versions == {}


IN_SELF_ATTENTION = (
    *(*TERM_SETS, "0010@2", "1111@2", "none", "dynamic", "dynamic@3"),
    *("none+deformable", "0010+deformable", "dynamic+deformable"),
)


@pytest.mark.parametrize(
    ("word", "part"),
    [(word, part) for word in IN_SELF_ATTENTION for part in ("encoder", "decoder")]
    + [(word, "cross") for word in TERM_SETS],
)
def test_a_translation_layer_costs_its_closed_form(word, part):
    keys, width = (9, 12) if part == "cross" else (7, 8)
    key_channels = 12 if part == "cross" else None
    unit = build_attention(Word.parse(word), part, 8, 2, key_channels)
    query, memory = torch.randn(7, 2, 8), torch.randn(keys, 2, width)
    if part != "cross":
        memory = query
    mask = torch.zeros(7, 7).fill_(-torch.inf).triu(1) if part == "decoder" else None
    cost = count(
        unit, lambda: unit(query=query, key=memory, value=memory, attn_mask=mask), [7], inputs=2
    )
    site = replace(sequence_site(part, 8, 2, key_channels), queries=7, keys=keys)
    form = cost_at(Word.parse(word), site)
    assert (cost.mechanism["macs"], cost.mechanism["parameters"]) == (form.macs, form.parameters)
    assert cost.model == cost.mechanism


def test_planning_and_closed_forms_need_no_torch():
    code = """
        import sys
        from dataclasses import replace
        from plugins.attention.core.registry import mechanism_class, names
        from plugins.attention.core.site import PairSite
        from plugins.attention.core.standing import cost_at
        from plugins.attention.core.word import Word
        from plugins.contracts.tasks import find_task, task_names
        from plugins.translation.sites import sequence_site
        for name in names():
            word = Word.parse(f"none+{name}" if mechanism_class(name).beside else name)
            cost_at(word, replace(sequence_site("encoder", 8, 2), queries=5, keys=5))
            for task in map(find_task, task_names()):
                recipe = task.Recipe()
                site = task.site(task.sites[0], recipe)
                # E2 and E4 are refused there: two sets have no positions in common.
                positions = isinstance(site, PairSite) and name.isdigit() and "1" in name[1::2]
                if all(part.place(site) for part in word.parts) and not positions:
                    task.check(word, task.default_sites, recipe)
                cost_at(word, site)
        sys.exit("torch" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
