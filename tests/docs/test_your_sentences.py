"""docs/your-sentences.md, followed to the letter with a part of the embedded set."""

from __future__ import annotations

import pytest
from page import Page, shell

from plugins.translation.data.sentences import SentencesOptions
from study import data

PAGE = Page("your-sentences.md")
SIZES = {"train": 300, "valid": 12}


@pytest.fixture
def embedded():
    """The embedded set, prepared before a test says that the sets lie elsewhere."""
    data.prepare(["software-en-de"])
    return data.path("software-en-de")


@pytest.mark.data
@pytest.mark.train
def test_files_of_ones_own_are_trained_on(embedded, reader):
    assert PAGE.write(reader) == ["pairs.yaml"]
    (reader / "my-files").mkdir()
    for split, number in SIZES.items():
        for language in ("en", "de"):
            lines = (embedded / f"{split}.{language}").read_bytes().split(b"\n")[:number]
            content = b"".join(line + b"\n" for line in lines)
            (reader / "my-files" / f"{split}.{language}").write_bytes(content)
    (commands,) = PAGE.commands()
    shown = shell(commands).stdout
    assert "own set my-pairs: pairs of sentences (own data), 300/12/0 pairs; in-domain val" in shown
    results = (reader / "results" / "runs").glob("*/result.json")
    found = sorted(path.parent.name.rpartition("-s0-")[0] for path in results)
    assert found == [f"translation-my-pairs-{mechanism}-self" for mechanism in ("0010", "1111")]


def test_every_option_stands_in_the_page():
    table = PAGE.text.partition("## Options")[2].partition("\n## ")[0]
    for name, field in SentencesOptions.model_fields.items():
        assert f"`{name}`" in table
        if isinstance(field.default, float | int) and not isinstance(field.default, bool):
            assert f"| `{name}` | {field.default} |" in table
