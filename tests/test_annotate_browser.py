"""The page of `vosbench annotate` in a real browser, on a phone and on a desk: what is drawn is what the file holds."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from vosbench.annotating.server import Server
from vosbench.annotating.sheet import Sheet
from vosbench.datasets.drawn_masks import Drawn, refined
from vosbench.video.images import read_label_map

SIZE = (120, 160)
Open = Callable[..., "Page"]


def picture() -> np.ndarray:
    """A red disk on green noise."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 40, (*SIZE, 3), dtype=np.uint8) + np.array([10, 120, 10], np.uint8)
    image[disk()] = generator.integers(0, 30, (disk().sum(), 3)) + np.array([200, 20, 20])
    return image.astype(np.uint8)


def near(x: int, y: int, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def disk() -> np.ndarray:
    return near(45, 60, 25)


class Page:
    """An open page, its server, and what a user does on it."""

    def __init__(self, browser: webdriver.Chrome, server: Server) -> None:
        self.browser, self.server = browser, server
        self.serving = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self.serving.start()
        for kind in ("browser", "performance"):
            self.log(kind)
        browser.get(server.address)
        self.wait(lambda: "box around it" in self.status or "was loaded" in self.status)

    def log(self, kind: str) -> list[Any]:
        """What the browser noted since it was last asked."""
        return list(self.browser.get_log(kind))  # type: ignore[no-untyped-call]

    def run(self, script: str) -> Any:
        return self.browser.execute_script(f"return {script}")

    def wait(self, until: Callable[[], bool]) -> None:
        WebDriverWait(self.browser, 60).until(lambda _: until())

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def with_ctrl(self, key: str) -> None:
        ActionChains(self.browser).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()

    def click(self, selector: str) -> None:
        self.one(selector).click()
        self.idle()

    def idle(self) -> None:
        self.wait(lambda: not self.run("!!busy"))

    @property
    def status(self) -> str:
        return self.one("#status").text

    @property
    def labels(self) -> np.ndarray:
        return np.array(self.run("[...labels]"), np.uint8).reshape(SIZE)

    @property
    def hints(self) -> np.ndarray:
        return np.array(self.run("[...hints]"), np.uint8).reshape(SIZE)

    def on_screen(self, x: float, y: float) -> tuple[int, int]:
        """Where a position in the frame is shown, to whole pixels."""
        box, view = self.run("canvas.getBoundingClientRect().toJSON()"), self.run("view")
        return round(x * view["scale"] + view["x"] + box["x"]), round(y * view["scale"] + view["y"] + box["y"])

    def in_frame(self, x: int, y: int) -> tuple[float, float]:
        box, view = self.run("canvas.getBoundingClientRect().toJSON()"), self.run("view")
        return (x - box["x"] - view["x"]) / view["scale"], (y - box["y"] - view["y"]) / view["scale"]

    def draw(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        """Draws from point to point of the frame, and says which points they came to be."""
        places = [self.on_screen(*point) for point in points]
        actions: Any = ActionBuilder(self.browser, duration=0)
        pen = actions.pointer_action
        pen.move_to_location(*places[0]).pointer_down()
        for place in places[1:]:
            pen.move_to_location(*place)
        pen.pointer_up()
        actions.perform()
        self.idle()
        return [self.in_frame(*place) for place in places]

    def dab(self, x: float, y: float, radius: float) -> np.ndarray:
        """A dab of the brush or the eraser, and the pixels that it has to cover."""
        self.run(f"resize({2 * radius})")
        ((x, y),) = self.draw((x, y))
        return near(int(x), int(y), radius)


@pytest.fixture
def open_page(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Open]:
    servers = []

    def open_(labels: np.ndarray | None = None, image: np.ndarray | None = None) -> Page:
        image = picture() if image is None else image
        labels = np.zeros(image.shape[:2], np.uint8) if labels is None else labels
        sheet = Sheet("a clip, frame 00000", image, labels, tmp_path / "mask.png", "vosbench predict 'input=a b'")
        servers.append(Server(sheet, 0))
        return Page(browser, servers[-1])

    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    yield open_
    browser.execute_script("if (globalThis.past) kept = past.at(-1)")
    browser.get("about:blank")
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def page(open_page: Open) -> Page:
    return open_page()


def test_nothing_is_wrong_and_nothing_else_is_asked_for(page: Page) -> None:
    page.dab(50, 50, 5)
    page.with_ctrl("s")
    page.wait(lambda: page.status.startswith("Saved"))
    assert page.log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.log("performance")]
    asked = {each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"}
    own = {page.server.address + place for place in ("", "facts", "frame", "mask")}
    assert own <= {url for url in asked if not url.startswith("data:")} <= own


def test_brush_and_eraser(page: Page) -> None:
    """The file holds what was drawn, pixel by pixel."""
    expected = np.zeros(SIZE, np.uint8)
    expected[page.dab(60, 50, 10)] = 1
    page.click("#add")
    expected[page.dab(75, 50, 8)] = 2  # over the first one
    page.press("1", "e")
    erased = page.dab(66, 50, 4)
    expected[erased & (expected == 1)] = 0  # of the chosen object alone
    page.run("chooseTool('brush')")
    page.run("resize(1)")
    ((x, y),) = page.draw((120, 100))
    expected[int(y), int(x)] = 1
    np.testing.assert_array_equal(page.labels, expected)
    page.with_ctrl("s")
    page.wait(lambda: page.status.startswith("Saved"))
    assert page.status == f"Saved to {page.server.sheet.output}: objects 1, 2."
    np.testing.assert_array_equal(read_label_map(page.server.sheet.output), expected)
    assert page.one("#count").text == f"{(expected == 1).sum()} pixels"


def test_a_stroke_has_no_gaps(page: Page) -> None:
    page.run("resize(9)")
    (ax, ay), (bx, by) = page.draw((20, 20), (140, 100))
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    part = np.clip(((columns - ax) * (bx - ax) + (rows - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
    distance = np.hypot(columns - ax - part * (bx - ax), rows - ay - part * (by - ay))
    assert page.labels[distance < 3].all()
    assert not page.labels[distance > 6].any()


def test_the_mask_is_seen_in_the_colours_of_the_palette(page: Page) -> None:
    page.run("addObject()")
    page.dab(60, 50, 10)
    pixel = "[...layerContext.getImageData({}, 1, 1).data]"
    assert page.run(pixel.format("60, 50")) == [0, 128, 0, 128]
    assert page.run(pixel.format("100, 100"))[3] == 0
    assert page.run("getComputedStyle(document.querySelectorAll('.chip')[1]).backgroundColor") == "rgb(0, 128, 0)"
    shown = page.run("(draw(), canvas.toDataURL())")
    page.press("h")
    assert page.run("(draw(), canvas.toDataURL())") != shown
    assert page.one("#hide").get_attribute("aria-pressed") == "true"


def test_undo_and_redo(page: Page) -> None:
    states = [page.labels]
    for place in (30, 60, 90):
        page.dab(place, 50, 10)
        states.append(page.labels)
    assert page.browser.title.startswith("• ")
    for state in states[-2::-1]:
        page.with_ctrl("z")
        np.testing.assert_array_equal(page.labels, state)
    assert not page.hints.any()
    assert page.browser.title == "a clip, frame 00000"
    page.click("#undo")
    assert page.status == "There is nothing to undo."
    page.click("#redo")
    page.with_ctrl("y")
    ActionChains(page.browser).key_down(Keys.CONTROL).key_down(Keys.SHIFT).send_keys("z").perform()
    ActionChains(page.browser).key_up(Keys.SHIFT).key_up(Keys.CONTROL).perform()
    np.testing.assert_array_equal(page.labels, states[3])
    page.with_ctrl("z")
    page.dab(120, 100, 5)
    page.click("#redo")
    assert page.status == "There is nothing to redo."
    page.click("#clear")
    assert not page.labels.any()
    page.with_ctrl("z")
    assert page.labels.any()


def test_a_box_is_grabbed(page: Page) -> None:
    page.press("x")
    (left, top), (right, bottom) = page.draw((15, 30), (75, 90))
    assert page.status.startswith("Object 1 was found")
    box = int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom))
    np.testing.assert_array_equal(page.labels, Drawn("box", (box,)).mask(picture()))
    assert (page.labels[disk()] == 1).mean() > 0.95
    page.press("n")
    page.draw((right, bottom), (left, top))  # from the other corner; later objects lie over earlier ones
    assert set(np.unique(page.labels)) == {0, 2}
    page.with_ctrl("z")
    assert set(np.unique(page.labels)) == {0, 1}
    page.draw((100, 100), (100, 100))
    assert page.status == "Draw the box from one corner to the opposite one."
    page.run("void findInBox({ from: { x: -5, y: -5 }, to: { x: 165, y: 125 } })")
    page.idle()
    assert page.status.startswith("the box leaves no background")
    assert "wrong" in str(page.one("#status").get_attribute("class"))


def test_strokes_are_refined(page: Page) -> None:
    page.dab(40, 60, 12)
    page.press("e")
    page.dab(78, 60, 3)
    page.press("b")
    page.dab(62, 60, 2)
    labels, hints = page.labels, page.hints
    assert set(np.unique(hints)) == {0, 1, 255}
    clues = np.where(hints == 1, 3, np.where(hints == 255, 2, labels)).astype(np.uint8)
    page.press("g")
    page.idle()
    np.testing.assert_array_equal(page.labels, refined(picture(), clues))
    assert page.labels.sum() > 1.2 * labels.sum()
    assert page.status == "Object 1 was refined."
    page.with_ctrl("z")
    np.testing.assert_array_equal(page.labels, labels)
    page.click("#clear")
    page.click("#refine")
    assert "nothing was painted or erased" in page.status


def test_by_keyboard_alone(page: Page) -> None:
    page.browser.execute_script("canvas.focus()")
    page.press("b")
    page.run("resize(5)")
    page.press(Keys.SPACE, *[Keys.ARROW_RIGHT] * 5, Keys.SPACE)
    assert page.labels[60, 80] == 1
    drawn = page.labels.sum()
    page.press(*[Keys.ARROW_DOWN] * 5)  # the pen is lifted
    assert page.labels.sum() == drawn > 20
    page.with_ctrl("z")
    assert not page.labels.any()
    page.browser.execute_script("cursor = { x: 15, y: 30 }")
    page.press("x", Keys.SPACE)
    page.browser.execute_script("byKeyboard('arrowdown', true), drag(cursor = { x: 75, y: 90 })")
    page.press(Keys.SPACE)
    page.idle()
    assert (page.labels[disk()] == 1).mean() > 0.95


def test_objects_are_chosen(page: Page) -> None:
    page.press("n", "n")
    assert page.run("[objects, current]") == [[1, 2, 3], 3]
    page.press("2")
    assert page.run("current") == 2
    page.press("7")  # there is none
    assert page.run("current") == 2
    chips = page.browser.find_elements(By.CSS_SELECTOR, ".chip")
    chips[0].click()
    assert page.run("current") == 1
    assert [chip.text for chip in chips] == ["1", "2", "3"]
    assert page.run("document.querySelector('.chip:has(:checked)').textContent") == "1"


def test_a_mask_is_loaded(open_page: Open) -> None:
    labels = np.where(disk(), 7, 0).astype(np.uint8)
    labels[:10] = 2
    page = open_page(labels)
    np.testing.assert_array_equal(page.labels, labels)
    assert page.run("[objects, current, isDirty()]") == [[2, 7], 2, False]
    page.press("n")
    assert page.run("current") == 1


def test_zoom_and_move(page: Page) -> None:
    fitted = page.run("view")
    before = page.run("inFrame({ x: 100, y: 100 })")
    page.run("zoom(1.5, { x: 100, y: 100 })")
    assert page.run("inFrame({ x: 100, y: 100 })") == pytest.approx(before)
    page.press("v")
    left = page.run("view.x")
    page.draw((80, 60), (85, 60))
    assert page.run("view.x") == pytest.approx(left + 5 * page.run("view.scale"), abs=1)
    assert not page.labels.any()
    page.press("b")
    expected = page.dab(80, 60, 4)
    np.testing.assert_array_equal(page.labels == 1, expected)
    page.press("0")
    assert page.run("view") == pytest.approx(fitted)
    page.press("+")
    assert page.run("view.scale") > fitted["scale"]


def test_fingers_and_a_pen(page: Page) -> None:
    def touch(kind: str, *points: tuple[int, int]) -> None:
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    before, (x, y) = page.run("view.scale"), page.on_screen(80, 60)
    touch("touchStart", (x - 20, y))
    touch("touchMove", (x - 22, y))
    assert page.labels.any()  # one finger paints
    touch("touchStart", (x - 22, y), (x + 20, y))
    touch("touchMove", (x - 60, y), (x + 60, y))
    touch("touchEnd")
    assert page.run("view.scale") > 2 * before
    assert not page.labels.any()
    assert page.run("[past.length, gesture, pointers.size]") == [0, None, 0]
    touch("touchStart", (x, y))
    touch("touchEnd")
    painted = page.labels
    assert painted.any()
    pen = {"x": x + 40, "y": y, "button": "left", "clickCount": 1, "pointerType": "pen"}
    for kind in ("mousePressed", "mouseReleased"):
        page.browser.execute_cdp_cmd("Input.dispatchMouseEvent", {**pen, "type": kind})
    written, left = page.labels, page.run("view.x")
    assert written.sum() > painted.sum()
    touch("touchStart", (x, y - 30))  # once there is a pen, a finger moves the frame
    touch("touchMove", (x + 25, y - 30))
    touch("touchEnd")
    np.testing.assert_array_equal(page.labels, written)
    assert page.run("view.x") == pytest.approx(left + 25)


def test_it_fits_the_window_and_everything_has_a_name(page: Page) -> None:
    root = "document.documentElement"
    assert page.run(f"[{root}.scrollWidth <= innerWidth, {root}.scrollHeight <= innerHeight]") == [True, True]
    assert page.run("canvas.clientHeight") > 250
    for element in page.browser.find_elements(By.CSS_SELECTOR, "button:not([hidden]), input, canvas, aside"):
        assert element.accessible_name, str(element.get_attribute("outerHTML"))[:200]
    for element in page.browser.find_elements(By.CSS_SELECTOR, "aside button, aside label"):
        assert element.rect["y"] + element.rect["height"] <= 800, element.text
        assert element.rect["height"] >= 24


def test_dark_mode(page: Page) -> None:
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    assert page.run(colours) == ["rgb(255, 255, 255)", "rgb(29, 33, 38)"]
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert page.run(colours) == ["rgb(20, 23, 27)", "rgb(230, 233, 237)"]


def test_done_saves_and_ends(page: Page) -> None:
    page.click("#done")
    assert page.status == "there is no object yet: draw one first"
    expected = page.dab(50, 50, 6)
    page.click("#done")
    page.wait(lambda: page.one("#end").is_displayed())
    assert page.one("#command").text == "vosbench predict 'input=a b'"
    assert page.one("#written").text == f"Saved to {page.server.sheet.output}: object 1."
    np.testing.assert_array_equal(read_label_map(page.server.sheet.output) == 1, expected)
    page.serving.join(10)
    assert not page.serving.is_alive()
    assert page.server.sheet.saved == [1]


def test_a_server_that_has_gone_is_told(page: Page) -> None:
    page.dab(50, 50, 6)
    page.server.shutdown()
    page.server.server_close()
    page.with_ctrl("s")
    page.wait(lambda: page.status.startswith("vosbench no longer runs"))
    assert page.run("isDirty()")
    assert page.labels.any()
