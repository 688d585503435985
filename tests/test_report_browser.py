"""The report in a real browser, on a phone and on a desk: it moves, sorts, filters, prints, and asks for nothing."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from vosbench.datasets.davis import Davis
from vosbench.evaluation.board import report
from vosbench.evaluation.board.leaderboard import Board, boards
from vosbench.evaluation.board.rows import Row, load
from vosbench.evaluation.predictions.label_maps import open_source
from vosbench.evaluation.protocols.protocol import protocol_named
from vosbench.evaluation.results import records
from vosbench.evaluation.results.pictures import write_pictures
from vosbench.evaluation.results.records import Record
from vosbench.evaluation.scoring.evaluate import evaluate
from vosbench.video.images import write_label_map

EVIL = '"><script>window.hacked = 1</script><img src=x onerror=alert(1)>=cmd \\input{x} </script>'
EVIL_FOLDER = "=cmd <script>window.hacked = 2<!-- \\input{x} '\" &amp;"  # a slash cannot be in a name
Open = Callable[..., None]


def film(root: Path, name: str, count: int) -> None:
    """A video of two squares that move, in DAVIS layout; predictions lag behind."""
    noise = np.random.default_rng(len(name)).integers(0, 255, (90, 160, 3), np.uint8)
    for index in range(count):
        labels = np.zeros((90, 160), np.uint8)
        labels[10:40, 5 + 4 * index : 45 + 4 * index] = 1
        labels[50:80, 90 - 2 * index : 120 - 2 * index] = 2
        for kind in ("JPEGImages", "Annotations", "late", "still"):
            (root / kind / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(noise, 5 * index, 1)).save(root / f"JPEGImages/{name}/{index:05}.jpg")
        write_label_map(root / f"Annotations/{name}/{index:05}.png", labels)
        write_label_map(root / f"late/{name}/{index:05}.png", np.roll(labels, -index, 1))
        write_label_map(root / f"still/{name}/{index:05}.png", np.roll(labels, -5 * index, 1))


def score(root: Path, predictions: str, method: str, run: Path) -> None:
    """A record with curves and pictures, as scoring leaves it."""
    data, protocol = Davis(root, resolution=None, name="films"), protocol_named("davis")
    source = open_source(root / predictions)
    scores = evaluate(data, source, protocol, 0)
    path = records.path_of(run, "films", "all", "davis")
    made = Record(
        method=method, dataset="films", split="all", protocol="davis", resolution="original", frames="all",
        supervision="self-supervised", training_data="a long list of videos", scores=scores.scores,
        objects={str(key): values for key, values in scores.objects.items()},
        speed={"fps": 3.0, "latency_ms": {"p50": 1.0, "p95": 2.0}, "peak_memory_mb": 500.0},
        provenance={"command": f"vosbench benchmark method={method}"},
    )  # fmt: skip
    write_pictures(data, source, scores, path.with_suffix(""), 8)
    records.write(made, records.arrays_of(scores.curves), path)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name, count in (("bear", 26), ("cows", 12), ("dogs", 4), ("eels", 4)):
        film(folder / "data", name, count)
    info = {"sequences": [{"name": "bear", "attributes": ["OCC", "FM"]}]}
    (folder / "data/db_info.yml").write_text(json.dumps(info))
    for predictions in ("late", "still", "Annotations"):
        score(folder / "data", predictions, f"{predictions}_with_a_name", folder / "runs" / predictions)
    path = folder / "report.html"
    path.write_text(report.html(boards(load(folder / "runs"), resamples=20)), encoding="utf-8")
    return path


@pytest.fixture
def shown(browser: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    open_(browser, page)
    return browser


def open_(browser: webdriver.Chrome, page: Path) -> None:
    log_of(browser, "browser")
    log_of(browser, "performance")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.get(page.as_uri())


def log_of(browser: webdriver.Chrome, kind: str) -> list[Any]:
    """What the browser noted since it was last asked."""
    return list(browser.get_log(kind))  # type: ignore[no-untyped-call]


def one(browser: webdriver.Chrome, selector: str) -> WebElement:
    """The element, in sight."""
    element = browser.find_element(By.CSS_SELECTOR, selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return element


def run(browser: webdriver.Chrome, script: str, *arguments: Any) -> Any:
    return browser.execute_script(f"return {script}", *arguments)


def style(browser: webdriver.Chrome, selector: str, name: str) -> str:
    return str(run(browser, "getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, name))


def state(browser: webdriver.Chrome) -> dict[str, Any]:
    """What the first video shows: its frame, the layers over it, the cursors, the values, and the text."""
    script = """(() => {
        const video = document.querySelector(".video"), all = selector => [...video.querySelectorAll(selector)];
        return {
            frame: all("image.frame").map(each => each.getAttribute("href")),
            layers: all("image.layer").map(each => each.getAttribute("href")),
            cursors: all(".cursor").map(each => each.getAttribute("x1")),
            values: all(".values[data-method]").map(each => each.textContent),
            text: video.querySelector("output").textContent,
            slider: video.querySelector("input[type=range]").value,
        };
    })()"""
    return dict(run(browser, script))


def column(browser: webdriver.Chrome, number: int) -> list[str]:
    """The texts of a column of the first table, as far as its rows are shown."""
    script = "[...document.querySelectorAll('table')[0].tBodies[0].rows].filter(row => !row.hidden)"
    return list(run(browser, f"{script}.map(row => row.cells[{number}].textContent)"))


def test_nothing_is_wrong_and_nothing_else_is_asked_for(shown: webdriver.Chrome, page: Path) -> None:
    assert log_of(shown, "browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in log_of(shown, "performance")]
    asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert page.as_uri() in asked
    assert [url for url in asked if not url.startswith("data:") and url != page.as_uri()] == []


def test_the_page_never_scrolls_sideways(shown: webdriver.Chrome) -> None:
    run(shown, "document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert run(shown, "document.documentElement.scrollWidth <= innerWidth")


def test_names_and_headline_stay_in_sight(shown: webdriver.Chrome) -> None:
    shown.execute_script("document.querySelector('.scroll').scrollLeft = 9999")
    boxes = "[...document.querySelectorAll('.scroll tbody tr:first-child :is(.name, .stays)')].slice(0, 2)"
    name, headline = run(shown, f"{boxes}.map(each => each.getBoundingClientRect().toJSON())")
    assert name["left"] >= 0
    assert name["right"] <= headline["left"] + 1
    assert headline["right"] < run(shown, "innerWidth")


def test_the_slider_moves_pictures_cursors_and_values(shown: webdriver.Chrome) -> None:
    slider, pane = one(shown, ".video input[type=range]"), one(shown, ".pane:nth-child(2) svg")
    before, picture = state(shown), pane.screenshot_as_png
    slider.send_keys(Keys.ARROW_RIGHT)
    after = state(shown)
    assert int(after["slider"]) == int(before["slider"]) + 1
    assert after["frame"] != before["frame"]
    assert all(a != b for a, b in zip(after["layers"], before["layers"], strict=True))
    assert all(float(a) > float(b) > 0 for a, b in zip(after["cursors"], before["cursors"], strict=True))
    assert after["values"] != before["values"]
    assert all(value.startswith("J ") for value in after["values"])
    assert after["text"] != before["text"]
    assert slider.get_attribute("aria-valuetext").startswith(after["text"])  # type: ignore[union-attr]
    assert after["text"] in one(shown, ".pane:nth-child(2) svg").get_attribute("aria-label")  # type: ignore[operator]
    assert pane.screenshot_as_png != picture
    slider.send_keys(Keys.ARROW_LEFT)
    assert state(shown) == before


def test_play_plays_until_it_is_stopped(shown: webdriver.Chrome) -> None:
    button, before = one(shown, ".play"), state(shown)
    button.send_keys(Keys.SPACE)
    assert button.get_attribute("aria-pressed") == "true"
    WebDriverWait(shown, 10).until(lambda _: int(state(shown)["slider"]) != int(before["slider"]))
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    stopped = state(shown)
    shown.execute_async_script("setTimeout(arguments[0], 500)")
    assert state(shown) == stopped


def test_pointing_at_a_curve_shows_that_frame(shown: webdriver.Chrome) -> None:
    plot, before = one(shown, ".plot svg"), state(shown)
    ActionChains(shown).move_to_element_with_offset(plot, -plot.size["width"] // 3, 0).perform()
    pointed = state(shown)
    assert float(pointed["cursors"][0]) < float(before["cursors"][0])
    assert int(pointed["slider"]) < int(before["slider"])
    assert pointed["frame"] != before["frame"]
    plot.send_keys(Keys.HOME)
    assert state(shown)["text"] == "frame 00001"
    plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert state(shown)["text"].startswith("frame 00003")


def test_curves_of_each_object(shown: webdriver.Chrome) -> None:
    points = "document.querySelector('.plot polyline').getAttribute('points')"
    choice, before, values = one(shown, ".video select"), run(shown, points), state(shown)["values"]
    assert choice.text.split("\n") == ["mean of 2 objects", "object 1", "object 2"]
    choice.send_keys("object 2")
    assert run(shown, points) != before
    assert state(shown)["values"] != values
    assert "object 2" in one(shown, ".plot figcaption").text


def test_a_picture_can_be_enlarged(shown: webdriver.Chrome) -> None:
    pane = one(shown, ".pane svg")
    width = pane.size["width"]
    pane.send_keys(Keys.ENTER)
    assert pane.size["width"] > 1.5 * width
    pane.click()
    assert pane.size["width"] == width


def test_headers_sort(shown: webdriver.Chrome) -> None:
    header = one(shown, "thead th:nth-child(2) button")
    assert header.text == "J&F"
    header.send_keys(Keys.ENTER)
    falling = column(shown, 1)
    assert falling == sorted(falling, key=float, reverse=True)
    assert one(shown, "thead th:nth-child(2)").get_attribute("aria-sort") == "descending"
    header.click()
    assert column(shown, 1) == falling[::-1] != falling
    one(shown, "thead th button").click()
    assert column(shown, 0) == sorted(column(shown, 0), key=str.lower)
    assert len(shown.find_elements(By.CSS_SELECTOR, "table:first-of-type thead [aria-sort]")) == 1


def test_a_field_filters_rows(shown: webdriver.Chrome) -> None:
    field = one(shown, "#b1-sequences input[type=search]")
    rows = "[...document.querySelectorAll('#b1-sequences tbody')[0].rows].filter(row => !row.hidden).length"
    assert run(shown, rows) == 4
    field.send_keys("occlusion BEAR")
    assert run(shown, rows) == 1
    assert one(shown, "#b1-sequences [role=status]").text == "1 of 4 rows"
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(Keys.DELETE)
    assert run(shown, rows) == 4


def test_columns_can_be_hidden(shown: webdriver.Chrome) -> None:
    one(shown, "#b1-table summary").click()
    one(shown, "#b1-table fieldset label").click()
    assert not one(shown, "#b1-table td:nth-child(2)").is_displayed()
    assert one(shown, "#b1-table td:nth-child(3)").is_displayed()


def test_dark_mode(shown: webdriver.Chrome) -> None:
    light = style(shown, "body", "backgroundColor"), style(shown, ".c0", "stroke")
    assert light[0] == "rgb(255, 255, 255)"
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert style(shown, "body", "backgroundColor") == "rgb(20, 23, 27)"
    assert style(shown, "body", "color") == "rgb(230, 233, 237)"
    assert style(shown, ".c0", "stroke") != light[1]


def test_it_prints_without_controls(shown: webdriver.Chrome) -> None:
    pdf = base64.b64decode(shown.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 50_000
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    for control in (".tools", ".time", ".back"):
        assert style(shown, control, "display") == "none"
    assert style(shown, ".name", "position") == "static"
    shown.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert run(shown, "document.querySelector('.commands').checkVisibility()")
    shown.execute_script("dispatchEvent(new Event('afterprint'))")
    assert not run(shown, "document.querySelector('.commands').parentNode.open")


def test_everything_has_a_name(shown: webdriver.Chrome) -> None:
    run(shown, "document.querySelectorAll('details').forEach(each => { each.open = true; })")
    for element in shown.find_elements(By.CSS_SELECTOR, "button:not([hidden]), input, select, img, nav, [role=region]"):
        assert element.accessible_name, str(element.get_attribute("outerHTML"))[:200]
    for picture in shown.find_elements(By.CSS_SELECTOR, "svg[role=img]"):
        assert picture.get_attribute("aria-label")
    assert one(shown, ".picture").accessible_name.startswith("annotation: bear, frame ")
    links = run(shown, "[...document.querySelectorAll('a')].map(each => each.getAttribute('href').slice(1))")
    assert all(run(shown, "!arguments[0] || !!document.getElementById(arguments[0])", link) for link in links)


def test_commands_can_be_copied(shown: webdriver.Chrome) -> None:
    one(shown, "#b1-commands summary").click()
    button = one(shown, ".copy")
    button.click()
    WebDriverWait(shown, 10).until(lambda _: button.text in ("Copied", "Selected"))


def test_it_is_good_without_scripts(browser: webdriver.Chrome, page: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_(browser, page)
        assert browser.find_element(By.CSS_SELECTOR, "tbody td.stays").is_displayed()
        assert browser.find_element(By.CSS_SELECTOR, ".pane .picture").is_displayed()
        assert len(browser.find_elements(By.CSS_SELECTOR, ".layer[href]")) > 4
        assert not browser.find_element(By.CSS_SELECTOR, ".time").is_displayed()
        assert browser.find_elements(By.CSS_SELECTOR, "button:not(.play)") == []
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose names would like to be more than names."""
    folder = tmp_path_factory.mktemp("evil")
    film(folder / "data", EVIL_FOLDER, 4)
    (folder / "data/db_info.yml").write_text(json.dumps({"sequences": [{"name": EVIL_FOLDER, "attributes": [EVIL]}]}))
    for name in ("late", "still"):
        score(folder / "data", name, EVIL, folder / "runs" / f"{EVIL_FOLDER} {name}")
    path = folder / "report.html"
    path.write_text(report.html(boards(load(folder / "runs"), resamples=20), title=EVIL), encoding="utf-8")
    return path


def test_names_are_only_text(browser: webdriver.Chrome, evil: Path) -> None:
    open_(browser, evil)
    assert log_of(browser, "browser") == []
    assert run(browser, "window.hacked ?? null") is None
    assert browser.title == EVIL
    assert one(browser, "h1").text == EVIL
    assert one(browser, ".video h4").text == EVIL_FOLDER
    assert one(browser, ".bar-name").text.startswith(EVIL)
    assert one(browser, "tbody th").text.startswith(EVIL)
    assert run(browser, "document.querySelectorAll('script').length") == 3
    before = state(browser)
    one(browser, ".video input[type=range]").send_keys(Keys.ARROW_RIGHT)
    assert state(browser)["frame"] != before["frame"]
    assert run(browser, "document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_five_thousand_rows_do_not_hang(browser: webdriver.Chrome, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"dataset": "d", "split": "val", "protocol": "davis", "resolution": "480p", "frames": "all"}
    rows = [
        Row(Record(method=f"m{place}", scores={"J&F-Mean": place / 5_000}, objects={}, **facts), f"run{place}")
        for place in range(5_000)
    ]
    (tmp_path / "many.html").write_text(report.html([Board("many", rows)]), encoding="utf-8")
    open_(browser, tmp_path / "many.html")
    assert len(column(browser, 0)) == 200
    one(browser, "thead th:nth-child(2) button").click()
    assert column(browser, 1)[0] == "100.0"
    one(browser, "#b1-table input[type=search]").send_keys("m4999")
    assert column(browser, 0) == ["m4999"]
    assert run(browser, "performance.timing.domContentLoadedEventEnd - performance.timing.responseEnd") < 20_000
