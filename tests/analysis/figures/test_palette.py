"""Colours and signs: those of the paper's words stay, every other mechanism has its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import resources

import pytest

from analysis.figures.drawing.palette import MORE_SIGNS, OTHERS, color, dashes, marker

PAPER = {
    "none": ("#000000", "D"),
    "1111": ("#D55E00", "o"),
    "0110": ("#0072B2", "o"),
    "0010": ("#009E73", "o"),
    "0011": ("#56B4E9", "o"),
    "1000": ("#E69F00", "o"),
    "dynamic": ("#CC79A7", "^"),
    "dynamic@7": ("#CC79A7", "^"),
    "0101": ("#8C8C8C", "o"),
    "0100@3": ("#8C8C8C", "o"),
    "none+deformable": ("#000000", "s"),
    "0010+deformable": ("#009E73", "s"),
    "dynamic@3+deformable": ("#CC79A7", "s"),
}
FOREIGN = ("efficient_channel", "gate", "axial", "linear_attention", "ghost")


@pytest.mark.parametrize(("word", "expected"), PAPER.items())
def test_the_paper_s_words_look_as_they_did(word, expected):
    assert (color(word), marker(word)) == expected


def test_other_mechanisms_differ_from_the_paper_s_and_from_each_other():
    seen = [(color(word), marker(word)) for word in FOREIGN]
    assert len(set(seen)) == len(FOREIGN)
    assert {tone for tone, _ in seen}.isdisjoint({tone for tone, _ in PAPER.values()} | {OTHERS})
    assert {sign for _, sign in seen}.isdisjoint({"o", "s", "^", "D"})


def test_options_and_ranges_change_neither_and_deformable_convolution_only_the_sign():
    plain = "efficient_channel"
    for word in (f"{plain}:size=7", f"{plain}:size=5:bias=no@3", f"none+{plain}:size=9"):
        assert (color(word), marker(word)) == (color(plain), marker(plain))
    both = f"{plain}:size=7@3+deformable"
    assert (color(both), marker(both), dashes(both)) == (color(plain), "s", (0, (5, 2)))


def test_beside_a_mechanism_with_a_colour_it_has_that_colour_and_its_own_sign():
    assert color("0010+efficient_channel") == color("0010")
    assert color("0101+efficient_channel") == color("efficient_channel")
    assert marker("0010+efficient_channel") == marker("efficient_channel")


def test_they_are_the_same_in_every_process():
    code = (
        "from analysis.figures.drawing.palette import color, marker\n"
        f"print([(color(word), marker(word)) for word in {FOREIGN!r}])"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert shown == {f"{[(color(word), marker(word)) for word in FOREIGN]}\n"}


def test_the_report_can_draw_every_sign():
    script = resources.files("analysis.report").joinpath("static/chart.js").read_text()
    shapes = script.partition("const SHAPES = {")[2].partition("};")[0]
    for sign in {*MORE_SIGNS, *(sign for _, sign in PAPER.values())}:
        assert re.search(rf'(^|\s){re.escape(sign)}: |"{re.escape(sign)}": ', shapes), sign
