"""docs/mechanisms.md, "How to add one", followed to the letter: in every framework, and counted."""

from __future__ import annotations

import json
import re
import sys
import textwrap

import pytest
from page import Page, shell

PAGE = Page("mechanisms.md", "How to add one")
WORDS = [
    *("none", "efficient_channel", "efficient_channel:size=5"),
    *("0010+efficient_channel", "efficient_channel+deformable"),
]

# What the mechanism adds to a model is what it says that it costs, also beside others.
ON_MAPS = """
    import torch
    from mmdet.registry import MODELS as DETECTION
    from mmdet.utils import register_all_modules
    from mmseg.registry import MODELS as SEGMENTATION
    from gates import EfficientChannel, MapGate
    from plugins.attention.core.cost import count, mechanisms_of
    from plugins.attention.core.site import MapSite, Place
    from plugins.attention.core.word import Word
    from plugins.openmmlab import blocks, sites

    register_all_modules()
    resnet = {"type": "ResNet", "depth": 50, "base_channels": 16, "stem_channels": 16}
    x, at = torch.zeros(1, 3, 64, 96), ("conv4", "conv5")
    gate = EfficientChannel(size=5)
    # Six bottlenecks and three, whose branches are four times as wide as their convolutions.
    forms = [gate.cost(MapSite(channels=4 * width)) for width in 6 * [64] + 3 * [128]]
    words = ("efficient_channel:size=5", "0010+efficient_channel", "efficient_channel+deformable")
    for models, words in ((DETECTION, words), (SEGMENTATION, words[:1])):
        plain = models.build(resnet)
        before = count(plain, lambda: plain(x), [3, 64, 96]).model
        for word in words:
            added = sites.backbone_arguments(Word.parse(word), at, heads=8, kv_stride=2)
            model = models.build({**resnet, **added})
            cost = count(model, lambda: model(x), [3, 64, 96])
            for unit in ("macs", "executed_macs", "parameters"):
                assert cost.model[unit] - before[unit] == cost.mechanism[unit] > 0, (word, unit)
            gates = [m for m in mechanisms_of(model).values() if isinstance(m, MapGate)]
            assert len(gates) == 9, word
            if word == str(gate):
                own = cost.mechanism
                assert own["macs"] == own["executed_macs"] == sum(form.macs for form in forms)
                assert own["parameters"] == sum(form.parameters for form in forms)
        block = models.build({**STOCK, "in_channels": 16})
        assert block.site.place is Place.BRANCH
        ones = torch.ones(2, 16, 5, 7)
        gate_seen = block.mechanism.weights(block, ones)["gate"]
        torch.testing.assert_close(block(ones), gate_seen[..., None, None].expand_as(ones))
"""

# By the formula; a position of a decoder sees the past alone, and decodes as it was trained.
IN_SEQUENCES = """
    from dataclasses import replace
    import torch
    from gates import EfficientChannel
    from plugins.attention.core.cost import count
    from plugins.attention.core.word import Word
    from plugins.translation.attention import build_attention
    from plugins.translation.sites import sequence_site

    torch.manual_seed(0)
    x, word = torch.randn(5, 2, 8), Word.parse("efficient_channel:size=5")
    for part, products in (("encoder", 1), ("decoder", 5)):
        unit = build_attention(word, part, 8, 2).eval()
        mask = torch.zeros(5, 5).fill_(-torch.inf).triu(1) if part == "decoder" else None
        out, _ = unit(x, x, x, attn_mask=mask, need_weights=False)
        taps = unit.attention.excitation.conv.weight.flatten()
        for t in range(5):
            mean = x[: t + 1].mean(0) if part == "decoder" else x.mean(0)
            for c in range(8):
                near = [(tap, c + step) for step, tap in enumerate(taps, -2) if 0 <= c + step < 8]
                gate = sum(tap * mean[:, other] for tap, other in near).sigmoid()
                torch.testing.assert_close(out[t, :, c], x[t, :, c] * gate)
        cost = count(unit, lambda: unit(x, x, x, attn_mask=mask), [5], inputs=2).mechanism
        site = replace(sequence_site(part, 8, 2), queries=5, keys=5)
        assert cost["macs"] == cost["executed_macs"] == products * 5 * 8
        assert cost["macs"] == EfficientChannel(size=5).cost(site).macs
        assert cost["parameters"] == EfficientChannel(size=5).cost(site).parameters
    state = {}
    steps = [unit(step, step, None, incremental_state=state)[0] for step in x.split(1)]
    torch.testing.assert_close(torch.cat(steps), out)
"""


def python(code, **names):
    """Run code in a new interpreter, in which the package of the page is installed."""
    given = "".join(f"{name} = {value}\n" for name, value in names.items())
    shell(f"{sys.executable} - <<'END'\n{given}{textwrap.dedent(code)}\nEND")


@pytest.mark.data
def test_the_mechanism_of_the_page(reader, monkeypatch):
    monkeypatch.delenv("STUDY_DATA")  # the embedded set is there
    assert set(PAGE.write(reader)) == {"pyproject.toml", "gates.py", "gates.yaml"}
    (commands,) = PAGE.commands()
    shown = shell(commands).stdout
    assert "efficient_channel: options size=3" in shown
    planned = shown.rpartition("mechanism")[0].rpartition("gates")[2]
    assert [line.split()[0] for line in planned.splitlines() if " planned " in line] == WORDS
    (row,) = (
        row
        for row in json.loads(shell("study mechanisms --json").stdout)
        if row["mechanism"] == "efficient_channel"
    )
    assert row["url"].endswith("1910.03151")
    assert row["options"] == {"size": 3}
    assert row["map"]["formula"] == row["sequence"]["formula"] == "k C"
    assert row["map"]["macs"] == 3 * 256
    (stock,) = re.findall(r"`(dict\(type=\"Mechanism\".*?\))`", PAGE.text)
    python(ON_MAPS, STOCK=stock)
    python(IN_SEQUENCES)
    _what_cannot_be_is_refused_with_its_line(reader)


def _what_cannot_be_is_refused_with_its_line(folder):
    for task, recipe, word, sentence in (
        ("detection", "", "efficient_chanel", "did you mean 'efficient_channel'"),
        ("detection", "", "efficient_channel:size=4", "size=4: it is odd"),
        (
            "translation",
            ", sites: [[cross]]",
            "efficient_channel",
            "a gate of one sequence sees no",
        ),
    ):
        grid = f"task: {task}\nproduct: {{mechanism: [{word}]{recipe}}}\n"
        (folder / "wrong.yaml").write_text(grid)
        said = shell("study plan wrong.yaml 2>&1 || echo code $?").stdout
        assert "wrong.yaml:2: " in said
        assert sentence in said
        assert said.endswith("code 2\n")
