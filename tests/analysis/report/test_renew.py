"""A served report follows its runs: what is looked at, and that it is built anew."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest
from playwright.sync_api import expect

from analysis.report.build import Edition, build
from analysis.report.front.overview import Selection
from analysis.report.renew import Renewal, signature
from analysis.report.serve import Server
from study.errors import StudyError
from study.runs.folder import iter_runs

from .reader import LAPTOP, Reader


@pytest.fixture
def runs(make, tmp_path):
    """Two finished runs."""
    for seed in (0, 1):
        make(tmp_path / "runs", "1111", seed, 18.5 + seed)
    return tmp_path / "runs"


def test_every_change_of_a_run_is_seen_and_a_look_alone_is_none(make, runs, tmp_path):
    seen = [signature(runs)]
    assert signature(runs) == seen[0]
    folder = make(runs, "0111", 0, None)
    seen.append(signature(runs))
    for name in ("result.json", "metrics.jsonl", "note.json"):
        (folder / name).write_text("{}\n")
        seen.append(signature(runs))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("{}\n")
    seen.append(signature(runs))
    (folder / "attempts" / "1").mkdir(parents=True)
    os.utime(folder / "attempts" / "1", ns=(1, 1))
    seen.append(signature(runs))
    (folder / "attempts" / "1" / "exit.json").write_text("{}")
    seen.append(signature(runs))
    grid = tmp_path / "grid.yaml"
    grid.write_text("a: 1")
    seen.append(signature(runs, [grid]))
    assert len({*seen}) == len(seen) == 9


def waited(condition):
    """Wait for up to ten seconds."""
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_build_that_fails_is_told_and_the_next_one_comes(capsys):
    state, built = [0], []

    def failing():
        built.append(state[0])
        if len(built) == 1:
            raise StudyError("torn")

    renewal = Renewal(lambda: state[0], failing, 0.01, 0)
    renewal.start()
    time.sleep(0.1)
    assert built == []
    state[0] = 1
    assert waited(lambda: built == [1])
    state[0] = 2
    assert waited(lambda: built == [1, 2])
    renewal.stop()
    assert "the report stays as it was: torn" in capsys.readouterr().err


def test_a_page_in_a_browser_renews_itself(browser, make, runs, tmp_path):
    out = tmp_path / "report"

    def again():
        build([Selection("", "none", [*iter_runs(runs)])], out, edition=Edition(0.2))

    again()
    renewal = Renewal(lambda: signature(runs), again, 0.1, signature(runs))
    server = Server(out, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    renewal.start()
    context = browser.new_context(viewport=LAPTOP)
    reader = Reader(context, f"http://127.0.0.1:{server.server_address[1]}")
    try:
        reader.open("runs.html#view=runs&sort=-value")
        expect(reader.page.locator("#runs tbody tr")).to_have_count(2)
        make(runs, "1111", 2, 25.5)
        expect(reader.page.locator("#runs tbody tr")).to_have_count(3, timeout=60_000)
        # Sorted as before, by what the address says.
        assert reader.column(2)[0] == "25.50"
    finally:
        context.close()
        renewal.stop()
        server.shutdown()
        server.server_close()
        thread.join()
    assert [text for text in reader.complaints if "Content Security Policy" in text] == []


def test_figures_of_the_same_runs_are_taken_over_and_of_others_drawn(make, runs, tmp_path):
    out = tmp_path / "report"
    selections = [Selection("", "none", [*iter_runs(runs)])]
    build(selections, out)
    (figure,) = (out / "figures").rglob("translation-software-en-de.svg")
    figure.write_text(figure.read_text().replace("</svg>", "<!-- taken over --></svg>"))
    build(selections, out)
    assert "taken over" in figure.read_text()
    make(runs, "1111", 2, 25.5)
    build([Selection("", "none", [*iter_runs(runs)])], out)
    assert "taken over" not in figure.read_text()


def test_a_report_says_what_changed_since_the_one_before(make, runs, tmp_path):
    out = tmp_path / "report"
    waiting = make(runs, "0111", 0, None)
    build([Selection("", "none", [*iter_runs(runs)])], out)
    first = (out / "index.html").read_text()
    assert "Since the" not in first
    make(runs, "0111", 0, 17.25)
    for seed in (0, 1):
        make(runs, "0010", seed, 5.5 + seed)
    result = runs / next(p.name for p in runs.iterdir() if "-1111-" in p.name) / "result.json"
    record = json.loads(result.read_text())
    result.write_text(json.dumps(record | {"metrics": {"BLEU": 12.5}}))
    build([Selection("", "none", [*iter_runs(runs)])], out)
    text = (out / "index.html").read_text()
    label = json.loads((waiting / "run.json").read_text())["label"]
    assert "3 runs finished" in text
    assert f"{label} (17.25 BLEU)" in text
    assert "1 run changed its result" in text
    assert "now 12.50 BLEU" in text
    # Nothing happened since: nothing to tell.
    build([Selection("", "none", [*iter_runs(runs)])], out)
    assert "Since the" not in (out / "index.html").read_text()
