"""A report as one file: everything in it, nothing asked for."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from analysis.report.front.overview import Selection
from analysis.report.onefile import write

from .reader import LAPTOP, Reader


@pytest.fixture(scope="module")
def file(folders, tmp_path_factory):
    path = tmp_path_factory.mktemp("mailed") / "report.html"
    built = write([Selection("", "none", folders)], path)
    assert built.index == path
    assert built.runs == 13
    return path


def test_all_pages_work_and_nothing_is_asked_for(browser, file, named):
    context = browser.new_context(viewport=LAPTOP)
    reader = Reader(context, f"file://{file.parent}")
    page = reader.page
    reader.open(file.name)
    assert "Findings" in page.locator("main").inner_text()
    figures = page.locator("figure img")
    assert figures.count() > 1
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        expect(figure).to_have_js_property("complete", True)
        assert figure.evaluate("image => image.naturalWidth") > 100
    page.get_by_role("link", name="failed 1").click()
    page.wait_for_selector("#runs tbody tr")
    assert len(reader.names()) == 1
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Group by mechanism").uncheck()
    expect(page.locator("#count")).to_contain_text("13 of 13")
    assert re.search(r"#!runs\.html#view=runs$", page.url)
    a, b = named("0111-encoder-s0"), named("1111-encoder-s0")
    for name in (a, b):
        page.get_by_label(f"Compare {name}").check()
    page.get_by_role("link", name="Compare 2 runs").click()
    page.wait_for_selector("[data-part=provenance]")
    assert page.locator("path.curve").count() == 2
    page.get_by_role("link", name="translation-0111-encoder-s0").click()
    expect(page.locator("h1")).to_have_text("translation-0111-encoder-s0")
    assert page.locator("#charts svg").count() > 0
    assert "Left out of this file" in page.locator("main").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="this grid file").click()
    assert "0111" in download.value.path().read_text()
    page.go_back()
    page.wait_for_selector("[data-part=provenance]")
    reader.open(f"{file.name}#!runs/nothing.html")
    assert "no such page" in page.locator("main").inner_text()
    context.close()
    assert reader.complaints == []
    asked = {url.partition("#")[0] for url in reader.asked} - {"about:blank"}
    assert {url for url in asked if not url.startswith("data:")} == {f"file://{file}"}


def test_what_a_run_brings_stays_text(browser, file, named):
    context = browser.new_context(viewport=LAPTOP)
    reader = Reader(context, f"file://{file.parent}")
    reader.open(f"{file.name}#!runs/{quote(named('boom'), safe='/')}.html")
    assert reader.page.locator("h1").inner_text().startswith('x"><img src=x')
    assert reader.page.evaluate("typeof boom") == "undefined"
    context.close()
    assert reader.complaints == []
