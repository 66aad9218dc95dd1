"""The report in headless Chromium, from files as a reader opens it, and from its server.

Skipped where there is no Chromium, unless STUDY_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from analysis.report.runs import shown as definition
from analysis.report.serve import Server
from analysis.runs.collect import collect
from analysis.stats.group import groups
from plugins.contracts.tasks import metric_of
from study.units import duration, gibi, giga, mega

from .reader import LAPTOP, PHONE, Reader


@pytest.fixture
def reader(browser, site):
    """Return a reader of the files; whatever it complained of fails the test."""
    context = browser.new_context(viewport=LAPTOP, color_scheme="light")
    seen = Reader(context, f"file://{site}")
    yield seen
    context.close()
    assert seen.complaints == []
    assert seen.foreign == set()


def run_page(name: str) -> str:
    return f"runs/{quote(name)}.html"


def test_every_page_opens_without_a_complaint(reader, site):
    for path in sorted(site.rglob("*.html")):
        reader.open(quote(str(path.relative_to(site))))
        assert reader.page.locator("h1").count() == 1
        assert reader.page.evaluate("document.documentElement.dataset.theme") == "light"


def test_scripts_write_a_quantity_as_python_does(reader):
    reader.open("runs.html")
    counts = [0, 5_308, -2_500_000, 311_000_000, 9_994_000_000, 9_996_000_000, 1_234_567_000_000]
    for name, write in (("giga", giga), ("mega", mega), ("gibi", gibi)):
        shown = reader.page.evaluate(f"{counts}.map(format.{name})")
        assert shown == [*map(write, counts)]
    times = [0.04, 9.94, 9.96, 59.4, 59.6, 724, 3599.6, 108_300]
    assert reader.page.evaluate(f"{times}.map(format.seconds)") == [*map(duration, times)]
    metric, values = metric_of("detection", "mAP"), [0.055, 0.06, -0.0042]
    shown = reader.page.evaluate(
        f"{values}.map((value) => format.score(value, {json.dumps(definition(metric))}))"
    )
    assert shown == [*map(metric.format, values)]


def test_headers_sort_numbers_and_words_both_ways_and_missing_last(reader):
    reader.open("runs.html#view=runs")
    page, column = reader.page, reader.place("result")

    def numbers():
        return [None if text == "–" else float(text) for text in reader.column(column)]

    page.get_by_role("button", name="result").click()
    down = numbers()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("result")
    there = [n for n in down if n is not None]
    # As words 9.13 would come before 102, and as a fraction 37.50 after both.
    assert there == sorted(there, reverse=True)
    assert there[0] == 102
    assert there[-1] == 9.13
    assert 37.5 in there
    assert down[len(there) :] == [None] * 3
    page.get_by_role("button", name="result").click()
    up = numbers()
    assert up == [*sorted(there), None, None, None]
    page.get_by_role("button", name="mechanism").click()
    words = reader.column(reader.place("mechanism"))
    assert words == sorted(words)
    assert words[0] == "0010"
    page.get_by_role("button", name="mechanism").click()
    words = reader.column(reader.place("mechanism"))
    assert words == sorted(words, reverse=True)
    assert page.locator("th[aria-sort]").count() == 1
    assert "by mechanism, descending" in page.locator("#count").inner_text()


def test_filters_combine_and_stay_in_the_address(reader):
    reader.open("runs.html#view=runs")
    page = reader.page
    assert page.locator("#count").inner_text() == "13 of 13"
    page.locator("#state").select_option("completed")
    page.locator("#mechanism").select_option("1111")
    assert len(reader.names()) == 3
    page.locator("#q").fill("ENCODER-s7")
    assert reader.names() == ["translation-1111-encoder-s7"]
    page.get_by_role("button", name="seed").click()
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert reader.names() == ["translation-1111-encoder-s7"]
    assert page.locator("#mechanism").input_value() == "1111"
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("seed")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#count")).to_contain_text("13 of 13")
    assert len(reader.names()) == 13
    page.locator("#q").fill("bleu")
    assert page.locator("#count").inner_text().split()[0] not in ("0", "13")  # those of translation
    page.locator("#q").fill("no such run")
    assert reader.names() == []
    assert page.locator("#count").inner_text().startswith("0 of 13")


def test_figures_keep_their_place_before_they_are_loaded(reader):
    reader.open("index.html")
    images = reader.page.locator("figure img")
    assert images.count() > 3
    for image in images.all():
        kept = image.evaluate("i => [i.getAttribute('width'), i.getAttribute('height')]")
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        size = image.evaluate("i => [i.naturalWidth, i.naturalHeight]")
        assert [int(side) for side in kept] == pytest.approx(size, abs=1)


def test_a_state_on_the_overview_leads_to_its_runs(reader):
    reader.open("index.html")
    reader.page.get_by_role("link", name="failed 1").click()
    reader.page.wait_for_selector("#runs tbody tr")
    assert len(reader.names()) == 1
    assert "RuntimeError" in reader.page.locator("#runs tbody").inner_text()


def test_a_point_tells_its_run_and_leads_there(reader):
    reader.open("runs.html#task=translation&mechanism=0111&view=runs")
    page = reader.page
    points = page.locator("#scatter a")
    assert points.count() == 2
    tip = page.locator("#scatter .tip")
    assert tip.is_hidden()
    points.first.hover()
    assert "translation-0111-encoder-s0" in tip.inner_text()
    assert "BLEU 18.25" in tip.inner_text()
    points.first.click()
    page.wait_for_url(re.compile("translation-0111-encoder-s0"))
    assert page.locator("h1").inner_text() == "translation-0111-encoder-s0"


def test_a_finger_is_told_before_it_is_led_away(browser, site):
    context = browser.new_context(viewport=PHONE, has_touch=True)
    reader = Reader(context, f"file://{site}")
    reader.open("runs.html#task=translation&mechanism=0111&view=runs")
    point = reader.page.locator("#scatter a").first
    point.tap()
    assert reader.page.locator("#scatter .tip").is_visible()
    assert "runs.html" in reader.page.url
    point.tap()
    reader.page.wait_for_url(re.compile("translation-0111-encoder-s0"))
    context.close()


def test_the_keyboard_alone_reaches_everything(reader):
    reader.open("runs.html#task=translation&view=runs")
    page, press = reader.page, reader.page.keyboard.press
    press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to content"
    box = page.locator(":focus").bounding_box()
    assert box["y"] >= 0
    press("Enter")
    press("Tab")
    assert page.locator(":focus").get_attribute("id") == "q"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    for _ in range(30):
        press("Tab")
        if page.evaluate("Boolean(document.activeElement.closest('#scatter'))"):
            break
    first = page.locator(":focus").get_attribute("href")
    press("ArrowRight")
    assert page.locator(":focus").get_attribute("href") != first
    assert page.locator("#scatter .tip").is_visible()
    press("End")
    last = page.locator(":focus").get_attribute("aria-label")
    press("Tab")
    # One stop for all points; the next is behind the chart.
    assert not page.evaluate("Boolean(document.activeElement.closest('#scatter'))"), last
    for _ in range(10):
        if page.locator(":focus").get_attribute("data-key") == "mechanism":
            break
        press("Tab")
    press("Enter")
    assert page.locator("th[aria-sort=ascending]").count() == 1
    for _ in range(40):
        press("Tab")
        if page.locator(":focus").get_attribute("type") == "checkbox":
            break
    press("Space")
    press("Tab")
    press("Tab")
    press("Space")
    assert page.locator("#compare").is_visible()


def test_log_search_counts_and_goes_on(reader, named):
    reader.open(run_page(named("0111-encoder-s0")))
    page = reader.page
    search = page.get_by_label("Search train.log")
    count = page.locator(".bar output")
    search.fill("NEEDLE")
    page.wait_for_selector("mark")
    assert count.inner_text() == "1 of 40"
    search.press("Enter")
    assert count.inner_text() == "2 of 40"
    search.press("Shift+Enter")
    search.press("Shift+Enter")
    assert count.inner_text() == "40 of 40"
    assert page.locator(".lines .here").get_attribute("data-n") == "40"
    assert page.locator("mark.now").is_visible()
    page.locator(".lines").focus()
    page.keyboard.press("n")
    assert count.inner_text() == "1 of 40"
    search.fill("no such text")
    expect(count).to_have_text("no match")
    assert page.locator("mark").count() == 0
    assert page.locator(".jump").is_disabled()


def test_jump_to_error_in_a_large_and_nasty_log(reader, named):
    reader.open(run_page(named("boom")))
    page = reader.page
    viewer = page.locator("details.log").first
    assert "left out" in viewer.locator(".cut").inner_text()
    viewer.locator(".jump").click()
    here = viewer.locator(".here")
    # Not its inner text: there is none before the block that came into sight is laid out.
    text = here.text_content() or ""
    assert text.startswith("RuntimeError: </script><script>boom()</script>")
    assert here.get_attribute("data-n") == "150004"
    # In sight: within the box of lines, not only somewhere in the document.
    inner, outer = here.bounding_box(), viewer.locator(".lines").bounding_box()
    assert outer["y"] <= inner["y"] <= outer["y"] + outer["height"]
    line = viewer.locator("[data-n='1']").text_content()
    assert line == "red </pre></script><script>boom()</script> \u2028"
    viewer.locator("input").fill("boom")
    expect(viewer.locator("mark").nth(900)).to_be_attached()
    assert viewer.locator("[data-n='2']").text_content() == "100% İ"
    assert page.evaluate("typeof boom") == "undefined"
    assert page.title().startswith('x"><img src=x')


def test_runs_differ_where_their_configuration_does(reader, named):
    reader.open("runs.html#task=translation&view=runs")
    page = reader.page
    a, b, c = (named(part) for part in ("0111-encoder-s0", "0010-encoder-s1", "1111-encoder-s1"))
    for name in (a, b, c):
        page.get_by_label(f"Compare {name}").check()
    page.get_by_role("link", name="Compare 3 runs").click()
    page.wait_for_selector("[data-part=configuration]")
    part = page.locator("[data-part=configuration]")
    rows = part.locator(".scroll").first.locator("tbody tr").all_inner_texts()
    told = [["mechanism", "0111", "0010", "1111"], ["seed", "0", "1", "1"]]
    assert [row.split("\t") for row in rows] == told
    equal = part.locator("details")
    assert equal.get_attribute("open") is None
    assert equal.locator("summary").inner_text() == "6 equal entries"
    result = page.locator("[data-part=results] tbody tr").first
    cells = [cell.split() for cell in result.locator("td").all_inner_texts()]
    assert cells == [["18.25"], ["10.13", "-8.13"], ["20.50", "+2.25"]]
    # One line a run in each chart; BLEU has two points, which are no curve.
    assert page.locator("[data-part=curves] h3").all_inner_texts() == ["loss"]
    assert page.locator("[data-part=curves] path.curve").count() == 3
    page.get_by_role("button", name="Remove translation-0111-encoder-s0").click()
    expect(page.locator("[data-part=results] tbody tr").first.locator("td")).to_have_count(2)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("[data-part=results]")
    shown = page.locator("#chosen a").all_inner_texts()
    assert shown == ["translation-0010-encoder-s1", "translation-1111-encoder-s1"]
    page.locator("#add").fill("no such run")
    page.locator("#add").press("Enter")
    assert "No single run" in page.locator("#status").inner_text()


def test_a_smoothed_curve_is_calmer_and_ends_are_its_own(reader, named):
    a, b = named("0111-encoder-s0"), named("1111-encoder-s0")
    reader.open(f"compare.html#run={a}&run={b}")
    page = reader.page
    curve = page.locator("[data-part=curves] path.curve").first

    def height():
        """Return the sum of the curve's vertical steps."""
        path = curve.get_attribute("d")
        ys = [float(point.split(",")[1]) for point in re.split("[ML]", path)[1:]]
        return sum(abs(y - x) for x, y in itertools.pairwise(ys))

    rough = height()
    page.locator("#smooth").fill("0.9")
    expect(curve).not_to_have_attribute("d", "")
    page.wait_for_timeout(100)
    assert height() < rough


def test_compare_begins_with_the_best_and_the_baseline_of_one_seed(reader, named):
    reader.open("compare.html")
    labels = reader.page.locator("#chosen a")
    # The first group is that of detection, which has one run; so its neighbour is asked for.
    expect(labels).to_have_count(1)
    reader.open(f"compare.html#run={named('0010-encoder-s1')}")
    # `none` is the baseline of the report.
    assert labels.all_inner_texts() == [
        "translation-0010-encoder-s1",
        "translation-none-encoder-s1",
    ]
    reader.open(f"compare.html#run={named('none-encoder-s1')}")
    assert labels.all_inner_texts() == [
        "translation-none-encoder-s1",
        "translation-1111-encoder-s1",
    ]


def test_the_nasty_run_compares_too(reader, named):
    from urllib.parse import urlencode

    query = urlencode([("run", named("boom")), ("run", named("0111-encoder-s1"))])
    reader.open(f"compare.html#{query}")
    reader.page.wait_for_selector("[data-part=provenance]")
    assert "<script>boom()<" in reader.page.locator("#chosen").inner_text()


def test_mechanisms_have_mean_and_interval_and_unfold_into_runs(reader, folders):
    (group,) = (each for each in groups(collect(folders)) if each.task == "translation")
    reader.open("runs.html#task=translation")
    page = reader.page
    row = page.locator("#runs tr.cell").filter(has_text="0111")
    assert f"18.75 ± {group.reach['0111']:.2f}" in row.inner_text()
    assert "2 seeds" in row.inner_text()
    before = len(reader.names())
    row.get_by_role("button").click()
    opened = [name for name in reader.names() if "-0111-" in name]
    assert opened == ["translation-0111-encoder-s0", "translation-0111-encoder-s1"]
    assert len(reader.names()) == before + 2
    # One of two seeds has a value, and no interval.
    page.locator("#seed").select_option("1")
    assert page.locator("#runs tr.cell").count() == 0
    page.locator("#seed").select_option("")
    page.get_by_label("Group by mechanism").uncheck()
    assert page.locator("#runs tr.cell").count() == 0
    assert "view=runs" in page.url


def test_a_mean_leads_to_the_runs_of_its_mechanism(reader):
    reader.open("runs.html#task=translation")
    page = reader.page
    point = page.locator("#scatter a[data-mechanism='0111']")
    assert point.count() == 1
    point.click()
    expect(page.locator("#mechanism")).to_have_value("0111")
    names = ["translation-0111-encoder-s0", "translation-0111-encoder-s1"]
    assert reader.names() == names
    assert page.locator("#scatter a").count() == 2


def test_a_tip_leaves_the_neighbours_to_be_seen(reader):
    reader.open("runs.html#task=translation&mechanism=0111&view=runs")
    page = reader.page
    points = page.locator("#scatter a .hit")
    for place in (0, 1):
        points.nth(place).hover()
        tip = page.locator("#scatter .tip").bounding_box()
        other = points.nth(1 - place).bounding_box()
        x, y = other["x"] + other["width"] / 2, other["y"] + other["height"] / 2
        across = tip["x"] <= x <= tip["x"] + tip["width"]
        assert not (across and tip["y"] <= y <= tip["y"] + tip["height"])


def test_on_a_phone_mechanism_and_result_are_seen_and_the_first_column_stays(browser, site):
    context = browser.new_context(viewport=PHONE)
    reader = Reader(context, f"file://{site}")
    for view in ("", "&view=runs"):
        reader.open(f"runs.html#task=translation{view}")
        page = reader.page
        cells = page.locator("#runs tbody tr").filter(has_text="0111").first.locator(":scope > *")
        box = page.locator("#list").locator("xpath=ancestor::section").locator(".scroll")
        for cell, text in ((cells.nth(0), "0111"), (cells.nth(1), "18.")):
            assert text in cell.inner_text()
            place = cell.bounding_box()
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= PHONE["width"]
        first, second = cells.nth(0).bounding_box()["x"], cells.nth(1).bounding_box()["x"]
        box.evaluate("box => { box.scrollLeft = 200; }")
        assert cells.nth(0).bounding_box()["x"] == first
        assert cells.nth(1).bounding_box()["x"] == second - 200
    context.close()


def test_columns_are_hidden_and_stay_hidden(reader):
    reader.open("runs.html")
    page = reader.page
    headers = page.locator("#runs thead th")
    assert "finished (UTC)" not in headers.all_inner_texts()
    page.locator(".menu summary").click()
    page.locator("#columns").get_by_label("finished (UTC)").check()
    page.locator("#columns").get_by_label("state").uncheck()
    for _ in range(2):
        shown = headers.all_inner_texts()
        assert "finished (UTC)" in shown
        assert "state" not in shown
        reader.open("runs.html")


def test_runs_are_found_by_their_tag_and_show_their_note(reader):
    reader.open("runs.html#view=runs")
    page = reader.page
    page.locator("#tag").select_option("odd")
    assert reader.names() == ["translation-0111-encoder-s1"]
    assert reader.column(reader.place("tags")) == ["odd"]
    page.locator("#runs tbody a").click()
    expect(page.locator(".facts")).to_contain_text("looks <odd>")


def test_a_slash_goes_to_the_search_from_anywhere(reader, named):
    reader.open(run_page(named("0111-encoder-s0")))
    page = reader.page
    page.keyboard.press("/")
    assert page.locator(":focus").get_attribute("aria-label") == "Search train.log"
    page.keyboard.type("1/2")
    assert page.locator(":focus").input_value() == "1/2"
    reader.open("runs.html")
    page.keyboard.press("/")
    assert page.locator(":focus").get_attribute("id") == "q"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_the_button(browser, site, scheme):
    context = browser.new_context(viewport=LAPTOP, color_scheme=scheme)
    reader = Reader(context, f"file://{site}")
    reader.open("index.html")
    page = reader.page

    def contrast():
        """Return the contrast of text and ground by the formula of WCAG 2."""
        colors = page.evaluate(
            """() => { const style = getComputedStyle(document.body);
            return [style.color, style.backgroundColor]; }"""
        )
        light = []
        for color in colors:
            parts = [int(n) / 255 for n in re.findall(r"\d+", color)[:3]]
            r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
            light.append(0.2126 * r + 0.7152 * g + 0.0722 * b)
        return (light[0] + 0.05) / (light[1] + 0.05)

    first = contrast()
    assert first > 7 if scheme == "dark" else first < 1 / 7
    button = page.get_by_role("button", name="Theme")
    wanted = {"light": "Theme: dark", "dark": "Theme: light"}[scheme]
    while button.get_attribute("aria-label") != wanted:
        button.click()
    other = contrast()
    assert (other > 7) == (first < 1)
    reader.open("runs.html")
    assert contrast() == other
    assert reader.complaints == []
    context.close()


def test_a_phone_scrolls_no_page_sideways(browser, site, named):
    context = browser.new_context(viewport=PHONE)
    reader = Reader(context, f"file://{site}")
    a, b = named("0111-encoder-s0"), named("none-encoder-s0")
    names = ["index.html", "runs.html", f"compare.html#run={a}&run={b}"]
    for name in (*names, run_page(a), run_page(named("boom"))):
        reader.open(name)
        reader.page.wait_for_timeout(100)
        width = reader.page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], name
    context.close()


def test_a_thousand_runs_sort_and_filter_a_screen_at_a_time(browser, site, tmp_path):
    for name in ("runs.html", "static"):
        (tmp_path / name).symlink_to(site / name)
    text = (site / "runs.js").read_text()
    grown = "study.data.runs = Array.from({length: 1000}, (_, n) => ({...study.data.runs[n % 13], "
    grown += "id: `run ${n}`, label: `run ${n}`, value: n === 7 ? null : (n * 37) % 1000}));"
    (tmp_path / "runs.js").write_text(f"{text}\n{grown}\n")
    context = browser.new_context(viewport=LAPTOP)
    reader = Reader(context, f"file://{tmp_path}")
    reader.open("runs.html")
    page = reader.page
    page.get_by_label("Group by mechanism").uncheck()
    header = page.locator("#runs button[data-key=value]")
    header.click()
    # A hundred rows at first: all at once would take ten times as long to lay out.
    assert page.locator("#runs tbody tr").count() == 100
    header.click()
    page.locator("#more").scroll_into_view_if_needed()
    expect(page.locator("#runs tbody tr").nth(150)).to_be_attached()
    page.evaluate("document.getElementById('more').click()")
    assert len(reader.names()) == 1000
    assert reader.column(reader.place("result"))[-1] == "–"
    page.locator("#q").fill("run 99")
    assert len(reader.names()) == 19  # 99, 199 ... 999, 990 ... 998
    assert reader.complaints == []
    context.close()


def test_the_served_report_works_under_its_stricter_policy(browser, site, named):
    server = Server(site, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    context = browser.new_context(viewport=LAPTOP)
    reader = Reader(context, base)
    try:
        for name in ("", "runs.html", run_page(named("boom"))):
            reader.open(name)
        a, b = named("0111-encoder-s0"), named("none-encoder-s0")
        reader.open(f"compare.html#run={a}&run={b}")
        reader.page.wait_for_selector("[data-part=provenance]")
    finally:
        context.close()
        server.shutdown()
        server.server_close()
        thread.join()
    assert reader.complaints == []
    assert reader.foreign == set()
