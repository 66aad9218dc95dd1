"""The page of a run shows which classes it takes for which: a matrix, and the largest in words."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from analysis.report.build import build
from analysis.report.confused import MOST_CLASSES, TOLD
from analysis.report.front.overview import Selection
from plugins.classification.items import labels_of_images
from study.runs.folder import RunFolder
from study.runs.items import write_items

NASTY = "<b>crow</b>"


class Table(HTMLParser):
    """The cells of the matrix by row, and the text of the page."""

    def __init__(self, page) -> None:
        super().__init__()
        self.inside, self.rows, self.text = False, [], ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.inside = dict(attrs).get("class") == "confused"
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "table"

    def handle_data(self, data):
        self.text += data
        if self.inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


@pytest.fixture
def page(make, tmp_path):
    """Return a function that makes the page of a run with such labels and predictions."""

    def made(labels, predicted, classes, task="classification", broken=False):
        folder = make(tmp_path / "runs", "none", 0, 0.5, task=task, metric="accuracy")
        items = labels_of_images(np.array(labels), np.array(predicted), classes)
        write_items(folder / "items.npz", items)
        if broken:
            (folder / "items.npz").write_bytes(b"torn")
        built = build([Selection("", "none", [RunFolder(folder)])], tmp_path / "report")
        assert built.runs == 1
        return Table(tmp_path / f"report/runs/{folder.name}.html")

    return made


def test_the_matrix_is_scikit_learns_and_its_largest_confusions_are_told(page):
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 4, 300)
    predicted = np.where(chance.random(300) < 0.7, labels, chance.integers(0, 4, 300))
    classes = ("jay", NASTY, "owl", "wren")
    expected = confusion_matrix(labels, predicted)
    seen = page(labels, predicted, classes)
    head, *rows = seen.rows
    assert head[1:] == [row[0] for row in rows] == list(classes)
    assert [[int(cell) for cell in row[1:]] for row in rows] == expected.tolist()
    np.fill_diagonal(expected, 0)
    i, j = np.unravel_index(expected.argmax(), expected.shape)
    total = (labels == i).sum()
    share = f"({expected.max() / total:.0%})"
    told = f"{classes[i]} is taken for {classes[j]} in {expected.max()} of {total} {share}"
    assert told in seen.text
    assert seen.text.count("is taken for") == min(TOLD, (expected > 0).sum())


def test_of_too_many_classes_only_the_largest_confusions_are_told(page):
    names = tuple(f"class {n}" for n in range(MOST_CLASSES + 1))
    seen = page([0, 3, 3, 7], [0, 5, 5, 7], names)
    assert seen.rows == []
    assert "class 3 is taken for class 5 in 2 of 2 (100%)" in seen.text


def test_a_run_that_is_always_right_confuses_nothing(page):
    assert "No class is taken for another." in page([0, 1, 1], [0, 1, 1], ("a", "b")).text


def test_items_that_cannot_be_read_are_told_and_the_page_stays(page):
    assert "items.npz cannot be read" in page([0], [1], ("a", "b"), broken=True).text


def test_a_task_without_classes_has_no_matrix(page):
    assert "taken for" not in page([0], [1], ("a", "b"), task="translation").text
