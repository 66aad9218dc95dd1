"""Recipes and sites: what is allowed, what is refused and how, and without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from plugins.attention.core.word import TERM_SETS, Word
from plugins.translation.recipe import Recipe
from plugins.translation.sites import SITES
from plugins.translation.task import Translation


def test_planning_imports_no_framework():
    code = "import sys, plugins.translation.recipe; sys.exit('torch' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_the_base_transformer_can_be_said():
    recipe = Recipe(
        data="wmt14",
        encoder_layers=6,
        decoder_layers=6,
        width=512,
        ffn_width=2048,
        heads=8,
        learning_rate=1e-3,
        warmup_updates=4000,
        tokens_per_batch=3750,
        update_frequency=8,
        evaluation_split="test",
    )
    assert (recipe.elsewhere, recipe.label_smoothing) == ("1111", 0.1)


def test_every_field_is_described():
    assert all(field.description for field in Recipe.model_fields.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"heads": 3}, r"heads \(3\) must divide width \(256\)"),
        ({"width": 255, "heads": 5}, "width must be even"),
        ({"elsewhere": "110"}, "unknown mechanism '110'; did you mean"),
        ({"dropout": 1.0}, "less than 1"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"evaluation_sentences": 0}, "greater than or equal to 1"),
        ({"evaluation_split": "train"}, "'valid' or 'test'"),
        ({"batch": 3}, "Extra inputs are not permitted"),
    ],
)
def test_bad_recipes_say_why(given, message):
    with pytest.raises(ValidationError, match=message):
        Recipe(**given)


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError):
        Recipe().epochs = 3


@pytest.mark.parametrize("site", SITES)
def test_term_sets_stand_everywhere(site):
    for word in TERM_SETS:
        Translation().check(Word.parse(word), (site,), Recipe())


@pytest.mark.parametrize("word", ["none", "dynamic", "0110@3", "0010+deformable", "dynamic@2"])
def test_the_others_stand_in_self_attention_only(word):
    Translation().check(Word.parse(word), ("self",), Recipe())
    Translation().check(Word.parse(word), ("decoder",), Recipe())
    for sites in (("cross",), ("self", "cross")):
        with pytest.raises(ValueError, match="cannot stand at 'cross'"):
            Translation().check(Word.parse(word), sites, Recipe())


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ((), "no site"),
        (("conv4",), "no site 'conv4'; its sites: encoder, decoder, self, cross"),
        (("cross", "cross"), "twice"),
        (("self", "encoder"), "name it alone"),
        (("encoder", "decoder"), "written 'self'"),
    ],
)
def test_bad_sites_say_why(sites, message):
    with pytest.raises(ValueError, match=message):
        Translation().check(Word.parse("1111"), sites, Recipe())


def test_elsewhere_must_be_possible_where_it_stands():
    Translation().check(Word.parse("1000"), ("cross",), Recipe(elsewhere="dynamic"))
    Translation().check(Word.parse("1000"), ("cross",), Recipe(elsewhere="none"))
    with pytest.raises(ValueError, match=r"recipe, elsewhere: .* cannot stand at 'cross'"):
        Translation().check(Word.parse("1000"), ("self",), Recipe(elsewhere="dynamic"))
    Translation().check(Word.parse("1000"), ("self", "cross"), Recipe(elsewhere="dynamic"))
