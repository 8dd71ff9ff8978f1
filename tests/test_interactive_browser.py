"""The interactive page in a browser: what it shows, against the library, and how it is operated."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import renyi_core as renyi

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium, which drives the browser, is not installed")

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
PAGE = Path(__file__).parent.parent / "docs" / "interactive" / "index.html"
TRIPLE = np.asarray([0.7, 0.22, 0.08])
DRAWN = """
const done = arguments[arguments.length - 1];
requestAnimationFrame(() => requestAnimationFrame(() => done()));
"""
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1200,900"
)


class Browser:
    """The page in Chromium, set as a reader sets it."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, fragment="", width=1200, **media):
        features = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in media.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        self.driver.get(PAGE.as_uri() + fragment)
        self.drawn()

    def drawn(self):
        self.driver.execute_async_script(DRAWN)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def press(self, element, *keys):
        element.send_keys(*keys)
        self.drawn()

    def put(self, selector, value):
        """Set a slider or a field, as a pointer or a paste does."""
        event = "change" if self.find(selector).tag_name == "select" else "input"
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event(arguments[2], {bubbles: true}))"
        self.run(script, self.find(selector), value, event)
        self.drawn()

    def number(self, selector):
        """Return the value in full, which what is shown rounds."""
        element = self.find(selector)
        value = float(self.run("return arguments[0].value", element))
        shown = element.text
        assert shown == f"{value:.{len(shown.partition('.')[2])}f}".replace("-", "−")
        return value

    def values(self, selector):
        return [float(x) for x in self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.value)", selector)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("Chromium and chromedriver are not both on PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=chromedriver)
    with webdriver.Chrome(options=options, service=service) as driver:
        driver.set_script_timeout(60)
        yield Browser(driver)


@pytest.fixture
def page(browser):
    """Return the page as it is at the start; no error may have been logged at the end."""
    browser.open()
    yield browser
    assert browser.driver.get_log("browser") == []


def expect(page, alpha):
    """Hold what the page shows to the library at an order."""
    weights = np.asarray(page.values("#bars input"))
    triple = np.asarray(page.values("#shares input"))
    for selector, function, p in (
        ("#entropy", renyi.entropy, weights),
        ("#hill", renyi.hill_number, weights),
        ("#triple-entropy", renyi.entropy, triple),
        ("#triple-hill", renyi.hill_number, triple),
    ):
        assert math.isclose(page.number(selector), function(p, alpha), rel_tol=1e-12, abs_tol=1e-15), (selector, alpha)
    scores = np.asarray(page.values("#options input"))
    (temperature,) = page.values("#temperature-value")
    shares = page.run("return [...document.querySelectorAll('#options output')].map((e) => Number(e.dataset.value))")
    want = renyi.regularized_argmax(scores, alpha, temperature)
    np.testing.assert_allclose(shares, want, rtol=1e-12, atol=0)
    shown = [element.text for element in page.all("#options output")]
    assert [text == "0" for text in shown] == list(want == 0)
    assert all("e" in text or math.isclose(float(text), share, abs_tol=6e-4) for text, share in zip(shown, want, strict=True))


def test_every_value_follows_the_dial(page):
    expect(page, 2.0)
    for step, alpha in ((0, 0), (80, 0.5), (120, 1), (130, 1.18), (240, math.inf)):
        page.put("#alpha", step)
        expect(page, alpha)
        assert page.find("#alpha-text").get_property("value") == ("∞" if alpha == math.inf else str(alpha))
    page.put("#alpha-text", "1e-6")
    expect(page, 1e-6)
    page.put("#alpha-text", "no number")
    expect(page, 1e-6)
    assert page.find("#alpha-text").get_attribute("aria-invalid") == "true"
    page.find("#stops button[data-alpha='1']").click()
    page.drawn()
    expect(page, 1)
    assert page.find("#alpha-text").get_attribute("aria-invalid") == "false"
    assert page.find("#alpha-name").text == "Shannon entropy"


def test_every_control_changes_what_is_shown(page):
    for preset in ("uniform", "peaked", "modes", "sure", "tail"):
        page.put("#preset", preset)
        expect(page, 2)
    page.put("#n", 16)
    assert len(page.values("#bars input")) == 16
    expect(page, 2)
    page.put(".bar:nth-child(3) input", 0.9)
    assert page.find("#preset").get_property("value") == "own"
    expect(page, 2)
    page.put("#n", 2)
    expect(page, 2)
    for bar in (1, 2):
        page.put(f".bar:nth-child({bar}) input", 0)
    expect(page, 2)  # one outcome stays possible
    page.put("#shares label:nth-child(2) input", 0.5)
    assert page.values("#shares input") == [0.449, 0.5, 0.051]
    page.put("#options .option:nth-child(6) input", 2.5)
    page.put("#temperature", -20)
    expect(page, 2)
    page.find("#reset").click()
    page.drawn()
    assert page.values("#shares input") == list(TRIPLE)
    assert page.values("#options input") == [2, 1.5, 1, 0, -1, -2]


def test_keyboard(page):
    """Each control is reached by Tab, named, visibly focused, and moves by its keys."""
    keys = webdriver.Keys
    controls = page.all("a, button, input, select, .handle")
    for control in controls:
        assert control.accessible_name.strip(), control.get_attribute("outerHTML")
    page.find("body").send_keys(keys.TAB)
    reached = []
    for _ in controls:
        focused = page.driver.switch_to.active_element
        reached.append(focused)
        style = page.run(
            "const e = arguments[0], ring = e.querySelector('.ring');"
            "return ring ? getComputedStyle(ring).stroke !== 'none' : parseFloat(getComputedStyle(e).outlineWidth) >= 2",
            focused,
        )
        assert style, focused.get_attribute("outerHTML")
        focused.send_keys(keys.TAB)
    assert set(reached) == set(controls)
    page.press(page.find("#alpha"), keys.HOME, *[keys.ARROW_RIGHT] * 3)
    expect(page, float(f"{3 / 237:.3g}"))
    weight = page.find(".bar input")
    before = page.values(".bar input")[0]
    page.press(weight, keys.ARROW_DOWN, keys.ARROW_DOWN)
    assert page.values(".bar input")[0] == pytest.approx(before - 0.002)
    page.press(weight, keys.ARROW_UP)
    assert page.values(".bar input")[0] == pytest.approx(before - 0.001)


def test_point_of_the_triangle_by_keys(page):
    keys = webdriver.Keys
    handle = page.find(".handle")
    for key, moved in (
        (keys.ARROW_UP, [0.71, 0.215, 0.075]),
        (keys.ARROW_DOWN, [0.7, 0.22, 0.08]),
        (keys.ARROW_LEFT, [0.7, 0.23, 0.07]),
        (keys.ARROW_RIGHT, [0.7, 0.22, 0.08]),
        (keys.SHIFT + keys.ARROW_RIGHT, [0.7, 0.12, 0.18]),
        (keys.HOME, [0.333, 0.333, 0.334]),
    ):
        page.press(handle, key)
        assert page.values("#shares input") == pytest.approx(moved, abs=1e-9)
        expect(page, 2)
    assert handle.get_attribute("aria-valuetext") == "A 33.3 percent, B 33.3 percent, C 33.4 percent"
    assert page.run("return document.activeElement") == handle
    for _ in range(12):
        handle.send_keys(keys.SHIFT + keys.ARROW_UP)
    page.drawn()
    assert page.values("#shares input") == [1, 0, 0]


def test_point_of_the_triangle_by_pointer(page):
    """It goes where it is dragged to: from A's side to the middle of the side BC, and beyond, where it stays inside."""
    page.run("document.querySelector('#simplex').scrollIntoView({block: 'center', behavior: 'instant'})")
    box = page.run("const b = document.querySelector('.triangle').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]")
    left, top, width, height = box
    actions = webdriver.ActionChains(page.driver, duration=0).move_to_element(page.find(".handle")).click_and_hold()
    actions.perform()
    for x, y, point in ((0.5, 1, [0, 0.5, 0.5]), (0.5, 2 / 3, [1 / 3] * 3), (0.5, -0.1, [1, 0, 0]), (1.1, 1.1, [0, 0, 1])):
        actions.w3c_actions.pointer_action.move_to_location(round(left + x * width), round(top + y * height))
        actions.perform()
        page.drawn()
        assert page.values("#shares input") == pytest.approx(point, abs=0.01)
    actions.release().perform()
    expect(page, 2)


def test_pictures_show_the_library(page):
    """The curve is the spectrum, and the bars are p, its escort distribution, and the push on the logits."""
    page.put("#alpha", 80)
    weights = np.asarray(page.values("#bars input"))
    p = weights / np.sum(weights)
    path = page.find("#spectrum .curve").get_attribute("d")
    points = np.asarray([[float(x) for x in point.split(",")] for point in path[1:].split("L")])
    place = (points[:, 0] - points[0, 0]) / np.ptp(points[:, 0])
    with np.errstate(divide="ignore"):
        values = renyi.entropy_spectrum(p, list(place / (1 - place)))
    np.testing.assert_allclose((points[0, 1] - points[:, 1]) / np.ptp(points[:, 1]), (values - values[0]) / np.ptp(values), atol=0.01)

    def heights(selector):
        return np.asarray([float(bar.get_attribute("height")) for bar in page.all(selector)])

    escort = np.sqrt(p) / np.sum(np.sqrt(p))
    scale = heights("#escort .bar-p")[0] / p[0]
    np.testing.assert_allclose(heights("#escort .bar-p"), scale * p, atol=0.01)
    np.testing.assert_allclose(heights("#escort .bar-q"), scale * escort, atol=0.01)
    push = renyi.grad(renyi.entropy_from_logits)(np.log(p), 0.5)
    pushes = heights("#push rect")
    np.testing.assert_allclose(pushes, np.abs(push) * pushes[0] / abs(push[0]), atol=0.01)
    down = [bar.get_attribute("class") == "bar-down" for bar in page.all("#push rect")]
    assert down == list(push < 0)


def test_field_of_the_triangle(page):
    """The arrow at the point follows the gradient, and the levels are of equal entropy."""
    page.put("#alpha", 160)
    numbers = page.run(
        "return [...document.querySelectorAll('.level, .own, .triangle')].map((e) => [e.getAttribute('class'), e.getAttribute('d')])"
    )
    paths = {}
    for kind, path in numbers:
        points = [[float(x) for x in point.split(",")] for piece in path.strip("MZ").split("M") for point in piece.split("L")]
        paths.setdefault(kind, []).append(np.asarray(points))
    corners = paths["triangle"][0]
    inverse = np.linalg.inv(np.vstack([corners.T, np.ones(3)]))

    def shares(points):
        return np.hstack([points, np.ones((len(points), 1))]) @ inverse.T

    g = renyi.grad(renyi.entropy_from_logits)(np.log(TRIPLE), 2)
    motion = TRIPLE * (g - TRIPLE @ g)
    start, end = shares(paths["own"][0][:2])
    np.testing.assert_allclose(start, TRIPLE, atol=1e-3)
    np.testing.assert_allclose((end - start) / np.linalg.norm(end - start), motion / np.linalg.norm(motion), atol=0.01)
    counts = (1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75)
    for level, count in zip(paths["level"], counts, strict=True):
        inside = np.abs(shares(level))
        inner = np.min(inside, axis=1) > 1e-3
        assert np.any(inner)
        np.testing.assert_allclose(renyi.hill_number(inside[inner], 2), count, rtol=0.01)


def test_address(page):
    page.put("#alpha-text", "1.7")
    page.put("#shares label:nth-child(1) input", 0.4)
    page.put(".bar:nth-child(2) input", 1)
    page.put("#temperature", 13)
    page.driver.execute_async_script("setTimeout(arguments[0], 500)")
    fragment = page.run("return location.hash")
    assert "a=1.7&" in fragment
    assert page.find("#spoken").get_property("textContent").strip()
    before = [page.values(f"{place} input") for place in ("#bars", "#shares", "#options")]
    page.open(fragment)
    assert [page.values(f"{place} input") for place in ("#bars", "#shares", "#options")] == before
    expect(page, 1.7)
    page.run("location.hash = '#a=inf&d=modes&n=5'")
    page.drawn()
    page.drawn()
    assert len(page.values("#bars input")) == 5
    expect(page, math.inf)


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_fits_every_width(page, width):
    for scheme, fragment in (("light", "#a=0.5&d=tail&n=16"), ("dark", "#a=20&d=sure&n=2&p=0.1,0.3,0.6")):
        page.open(fragment, width=width, color_scheme=scheme)
        script = """
        const width = document.documentElement.clientWidth;
        const out = [...document.querySelectorAll("body *:not(.unseen, .skip)")].filter((e) => {
          const box = e.getBoundingClientRect();
          return box.width > 0 && (box.right > width + 0.5 || box.left < -0.5) && !e.matches(".touch, .handle, .ring");
        });
        return [document.documentElement.scrollWidth - width, out.map((e) => e.outerHTML.slice(0, 90))];
        """
        assert page.run(script) == [0, []]
        overlaps = """
        const clashes = [];
        for (const svg of document.querySelectorAll(".picture svg")) {
          const boxes = [...svg.querySelectorAll("text")].map((e) => [e.textContent, e.getBoundingClientRect()]);
          for (const [i, [a, p]] of boxes.entries()) for (const [b, q] of boxes.slice(i + 1))
            if (Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 4)
              clashes.push(`${a} on ${b}`);
        }
        return clashes;
        """
        assert page.run(overlaps) == []


def test_motion_is_a_choice(page):
    """All orders are played on demand, and nothing moves by itself for who asked for less motion."""
    page.put("#alpha", 236)
    page.find("#play").click()
    assert page.find("#play").get_attribute("aria-pressed") == "true"
    wait = "const go = () => document.querySelector('#alpha').value === '240' ? arguments[0]() : setTimeout(go, 20); go()"
    page.driver.execute_async_script(wait)
    page.drawn()
    expect(page, math.inf)
    assert page.find("#play").get_attribute("aria-pressed") == "false"
    page.open(reduced_motion="reduce")
    assert not page.find("#play").is_displayed()
    assert page.run("return getComputedStyle(document.querySelector('.share-bar')).transitionDuration") == "0s"


def test_nothing_is_fetched(page):
    names = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith(("file:", "data:")) for name in names), json.dumps(names)
