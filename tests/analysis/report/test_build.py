"""The report as files: what is in it, that it replaces only a report, and that nothing escapes."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from analysis.report import build as building
from analysis.report.build import build
from analysis.report.front import overview
from analysis.report.front.overview import Selection
from analysis.report.front.since import MARKER
from analysis.report.pages import script
from analysis.report.runs import PlannedRun, flat
from study.errors import StudyError
from study.grid.alone import grid_file
from study.grid.reading import load
from study.runs.folder import RunFolder


class Page(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.images: list[str] = []
        self.text = self.code = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("href", "src"):
                self.links.append(value)
            if tag == "img" and name == "src":
                self.images.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.code += data
        self.text += data


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_run_has_a_page_whatever_its_state(site, folders):
    readable = [folder for folder in folders if not folder.path.name.startswith("torn")]
    assert len(readable) == 13
    for folder in readable:
        text = Page(site / "runs" / f"{folder.path.name}.html").text
        assert folder.state() in text
        assert folder.run["label"] in text


def test_every_link_within_the_report_resolves_and_none_leaves_it(site):
    for path in pages(site):
        page = Page(path)
        assert len(page.ids) == len(set(page.ids)), path
        for link in page.links:
            parts = urlsplit(link)
            assert not parts.scheme, link
            assert not parts.netloc, link
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_relative_to(site), link
            assert target.is_file(), link


def test_nothing_that_a_run_brings_becomes_markup(site, folders):
    (nasty,) = (folder for folder in folders if "boom" in folder.path.name)
    for path in pages(site):
        page = Page(path)
        # No page of ours has code of its own, handlers or styles; its images are figures.
        assert page.code == "", path
        assert not {name for name in page.attributes if name.startswith("on") or name == "style"}
        assert all(link.startswith("figures/") for link in page.images)
    for name in ("index.html", f"runs/{nasty.path.name}.html"):
        assert nasty.run["label"] in Page(site / name).text


def test_data_scripts_hold_the_same_values_and_close_no_tag(site, folders):
    for path in [site / "runs.js", *(site / "runs").glob("*.js")]:
        text = path.read_text(encoding="ascii")
        assert "<" not in text
        assert "\u2028" not in text
    (nasty,) = (folder for folder in folders if "boom" in folder.path.name)
    text = (site / "runs" / f"{nasty.path.name}.js").read_text()
    name, data = json.loads(f"[{text.removeprefix('study.run(').removesuffix(');' + chr(10))}]")
    assert name == nasty.path.name
    assert data["science"] == flat(nasty.run["science"])


def test_a_number_that_json_does_not_have_is_null():
    assert script("f", {"a": [float("nan"), float("inf"), 1.5]}) == 'f({"a":[null,null,1.5]});\n'


def test_the_overview_counts_states_names_failures_and_what_could_not_be_read(site):
    text = " ".join(Page(site / "index.html").text.split())
    for words in ("completed 10", "running 1", "planned 1", "failed 1"):
        assert words in text
    assert "torn-0123456789abcdef" in text
    assert "train.py:train" in text


def test_an_archived_run_says_that_its_logs_are_not_here(site, folders):
    text = Page(site / "runs" / f"{folders[-1].path.name}.html").text
    assert "keeps no logs" in text


def test_a_run_that_a_grid_only_asks_for_has_a_page_too(make, tmp_path):
    path = make(tmp_path / "runs", "1000", 3, None)
    record = RunFolder(path).run
    asked = type("Asked", (), {k: record[k] for k in ("id", "label", "hash", "grid", "science")})
    shutil.rmtree(path)
    built = build([Selection("g", "1111", [PlannedRun(path, asked)])], tmp_path / "out")
    assert built.runs == 1
    assert "planned" in Page(tmp_path / "out" / "runs" / f"{path.name}.html").text
    assert "No run has finished yet" in Page(tmp_path / "out" / "index.html").text


@pytest.mark.parametrize("grid", sorted(Path("grids").rglob("*.yaml")), ids=str)
def test_the_grid_file_of_a_run_asks_for_that_run_alone(grid, tmp_path):
    runs = load(grid).runs()
    for run in (runs[0], runs[-1]):
        record = {"id": run.id, "science": json.loads(json.dumps(run.science))}
        file = tmp_path / "one.yaml"
        file.write_text(grid_file(record), encoding="utf-8")
        assert [one.id for one in load(file).runs()] == [run.id]


def test_a_report_is_replaced_and_nothing_else_is(make, tmp_path):
    out = tmp_path / "place" / "out"
    selections = [Selection("", None, [RunFolder(make(tmp_path, "1000", 0, None))])]
    build(selections, out)
    (out / "left-over.html").write_text("old")
    build(selections, out)
    assert not (out / "left-over.html").exists()
    assert [path.name for path in out.parent.iterdir()] == ["out"]

    (out / MARKER).unlink()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(StudyError, match="not a report"):
        build(selections, out)
    assert (out / "thesis.tex").read_text() == "years of work"

    link = tmp_path / "link"
    link.symlink_to(out)
    with pytest.raises(StudyError, match="not a folder"):
        build(selections, link)


def test_a_build_that_fails_leaves_the_report_of_before(make, tmp_path, monkeypatch):
    out = tmp_path / "place" / "out"
    selections = [Selection("", None, [RunFolder(make(tmp_path, "1000", 0, None))])]
    build(selections, out)
    before = (out / "index.html").read_text()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building, "page", full)
    with pytest.raises(OSError, match="No space"):
        build(selections, out)
    assert (out / "index.html").read_text() == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def overview_of(folders, out):
    """Build a report; return what its first page says."""
    build([Selection("", None, [RunFolder(folder) for folder in folders])], out)
    return " ".join(Page(out / "index.html").text.split())


def test_a_mechanism_that_scatters_more_is_named_below_the_verdicts(make, tmp_path):
    steady = [
        make(tmp_path / "runs", word, seed, 18 + (seed * step) % 7 / 100)
        for word, step in {"1111": 1, "0111": 2, "1110": 3, "1101": 4}.items()
        for seed in range(6)
    ]
    wild = [make(tmp_path / "runs", "0010", seed, 15 + 3 * (seed % 2)) for seed in range(6)]
    words = "translation · software-en-de · encoder: 0010 scatters"
    assert words in overview_of([*steady, *wild], tmp_path / "one")
    assert "scatters" not in overview_of(steady, tmp_path / "other")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_absurd_number_costs_figures_and_not_the_report(make, tmp_path):
    loss = 1.7e308
    folders = [make(tmp_path / "runs", "1111", seed, 18.5 + seed) for seed in (0, 1)]
    lines = [{"split": "train", "step": n, "epoch": n, "loss": loss * (-1) ** n} for n in (1, 2)]
    lines += [{"split": "val", "step": n, "epoch": n, "BLEU": loss * (-1) ** n} for n in (1, 2)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folders[0] / "metrics.jsonl").write_text(text)
    shown = overview_of(folders, tmp_path / "out")
    assert "19.0" in shown
    assert "Verdicts on the paper" in shown
    assert "means and figures are incomplete" in shown


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_absurd_values_leave_a_report_and_no_interval_that_cannot_be_drawn(make, tmp_path):
    folders = [
        make(tmp_path / "runs", word, seed, 1e300 * (-1) ** seed)
        for word in ("1111", "0111", "none")
        for seed in (0, 1)
    ]
    shown = overview_of(folders, tmp_path / "out")
    assert "completed 6" in shown
    assert "means and figures are incomplete" in shown
    assert '="nan"' not in (tmp_path / "out" / "index.html").read_text()


def test_an_infinite_result_is_a_broken_run(make, tmp_path):
    folders = [make(tmp_path / "runs", "1111", seed, 18.5 + seed) for seed in (0, 1)]
    folders.append(make(tmp_path / "runs", "1111", 2, float("inf")))
    assert "value is inf, which no run can have" in overview_of(folders, tmp_path / "out")


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(StudyError, match="no runs"):
        build([Selection("", None, [])], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_scripts_are_javascript(site):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the browser tests load the same scripts")
    for path in [*(site / "static").glob("*.js"), site / "runs.js"]:
        subprocess.run([node, "--check", path], check=True)


def test_what_belongs_together_is_drawn_once_of_all_grids(make, tmp_path, monkeypatch):
    draw = overview._draw
    wanted_at = {}

    def only_controls(frame, out, baseline, wanted):
        wanted_at[out.name] = wanted
        return draw(frame, out, baseline, [kind for kind in wanted if kind == "controls"])

    monkeypatch.setattr(overview, "_draw", only_controls)
    recipe = {"data": "control-scenes", "optimizer": "adamw"}
    selections = []
    for scene in ("twin", "ally"):
        more = {"task": "controls", "metric": "accuracy", "sites": ["cells"]}
        made = make(tmp_path / scene, "1100", 0, 0.9, recipe=recipe | {"scene": scene}, **more)
        selections.append(Selection(scene, "none", [RunFolder(made)]))
    page = Page(build(selections, tmp_path / "two").index)
    matrix = "controls-control-scenes-matrix"
    shown = [image for image in page.images if matrix in image]
    assert shown == [f"figures/together/{matrix}.svg"]
    assert "All together" in page.text
    assert "twin" in (tmp_path / "two" / "figures" / "together" / f"{matrix}.txt").read_text()
    assert wanted_at.pop("together") == ["controls"]
    assert [*wanted_at] == ["twin", "ally"]
    assert not any("controls" in wanted for wanted in wanted_at.values())
    page = Page(build(selections[:1], tmp_path / "one").index)
    assert [image for image in page.images if matrix in image] == [f"figures/twin/{matrix}.svg"]
    assert "All together" not in page.text
