"""The interactive page in a browser: what it shows, against the library, and how it is operated."""

from __future__ import annotations

import json
import math
import re
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
        self.loads = 0

    def open(self, fragment="", width=1200, **media):
        features = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in media.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        # a query of its own, or another fragment would not load the page again
        self.loads += 1
        self.driver.get(f"{PAGE.as_uri()}?{self.loads}{fragment}")
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
        script = """
        const [selector, value, done] = arguments;
        const control = document.querySelector(selector);
        control.value = value;
        control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
        requestAnimationFrame(() => requestAnimationFrame(() => done()));
        """
        self.driver.execute_async_script(script, selector, value)

    def values(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((e) => Number(e.value))", selector)

    def box(self, selector):
        """Return the left edge, the top, the width and the height."""
        script = "const b = arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width, b.height]"
        return self.run(script, self.find(selector))


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


SHOWN = """
const all = (selector) => [...document.querySelectorAll(selector)];
const numbers = (selector) => all(selector).map((e) => Number(e.value));
return {
  weights: numbers("#bars input"),
  triple: numbers("#shares input"),
  scores: numbers("#options input"),
  temperature: numbers("#temperature-value")[0],
  figures: all("#entropy, #hill, #triple-entropy, #triple-hill").map((e) => [Number(e.value), e.textContent]),
  shares: all("#options output").map((e) => [Number(e.dataset.value), e.textContent]),
};
"""


def expect(page, alpha):
    """Hold all numbers that the page shows to the library at an order: in full, and as they are rounded."""
    shown = page.run(SHOWN)
    wanted = [
        f(np.asarray(shown[p], dtype=float), alpha)
        for p in ("weights", "triple")
        for f in (renyi.entropy, renyi.hill_number)
    ]
    for (value, text), want in zip(shown["figures"], wanted, strict=True):
        assert math.isclose(value, want, rel_tol=1e-12, abs_tol=1e-15), (alpha, shown)
        assert text == f"{value:.{len(text.partition('.')[2])}f}".replace("-", "−")
    choice = renyi.regularized_argmax(np.asarray(shown["scores"], dtype=float), alpha, float(shown["temperature"]))
    for (value, text), want in zip(shown["shares"], choice, strict=True):
        assert math.isclose(value, want, rel_tol=1e-12), (alpha, shown)
        assert (text == "0") == (want == 0)
        assert "e" in text or math.isclose(float(text), want, abs_tol=6e-4)


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
    page.put("#shares .line:nth-child(2) input", 0.5)
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
    page.run("""
    window.seen = [];
    document.addEventListener("focusin", ({ target }) => {
      const ring = target.querySelector(".ring");
      const outlined = parseFloat(getComputedStyle(target).outlineWidth) >= 2;
      seen.push([target, ring ? getComputedStyle(ring).stroke !== "none" : outlined]);
    });
    """)
    page.find("body").send_keys(keys.TAB * len(controls))
    seen = page.run("return seen")
    assert [element for element, _ in seen] == controls
    assert all(drawn for _, drawn in seen)
    for control in controls:
        assert control.accessible_name.strip(), control.get_attribute("outerHTML")
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
    left, top, width, height = page.box(".triangle")
    knob = page.box(".knob")

    def mouse(kind, x, y):
        event = {"type": f"mouse{kind}", "x": round(x), "y": round(y), "button": "left", "clickCount": 1}
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event | {"buttons": int(kind != "Released")})
        page.drawn()

    mouse("Pressed", knob[0] + 9, knob[1] + 9)
    for x, y, point in (
        (0.5, 1, [0, 0.5, 0.5]),
        (0.5, 2 / 3, [1 / 3] * 3),
        (0.5, -0.1, [1, 0, 0]),
        (1.1, 1.1, [0, 0, 1]),
    ):
        mouse("Moved", left + x * width, top + y * height)
        assert page.values("#shares input") == pytest.approx(point, abs=0.01)
    mouse("Released", left, top)
    mouse("Moved", left + 0.5 * width, top + 0.5 * height)
    assert page.values("#shares input") == pytest.approx([0, 0, 1], abs=0.01)
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
    drop = (points[:, 1] - points[0, 1]) / np.ptp(points[:, 1])
    np.testing.assert_allclose(drop, (values[0] - values) / np.ptp(values), atol=0.01)

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
    script = "return [...document.querySelectorAll('.level, .own, .triangle, .arrows')].map((e) => [e.classList[0], e])"
    paths = {}
    for kind, element in page.run(script):
        pieces = re.findall(r"[-\d.]+,[-\d.]+", element.get_attribute("d"))
        paths.setdefault(kind, []).append(np.asarray([[float(x) for x in point.split(",")] for point in pieces]))
    corners = paths["triangle"][0]
    inverse = np.linalg.inv(np.vstack([corners.T, np.ones(3)]))

    def shares(points):
        return np.hstack([points, np.ones((len(points), 1))]) @ inverse.T

    def motion(p):
        g = renyi.grad(renyi.entropy_from_logits)(np.log(p), 2)
        return p * (g - np.sum(p * g, axis=-1, keepdims=True))

    # each arrow is its shaft and then a barb, the tip and a barb
    arrows = shares(paths["arrows"][0]).reshape(-1, 5, 3)
    assert len(arrows) > 40
    rate = motion((arrows[:, 0] + arrows[:, 1]) / 2)
    step = arrows[:, 1] - arrows[:, 0]
    lengths, rates = np.linalg.norm(step, axis=1), np.linalg.norm(rate, axis=1)
    np.testing.assert_allclose(step / lengths[:, None], rate / rates[:, None], atol=0.01)
    np.testing.assert_allclose(lengths / np.max(lengths), np.sqrt(rates / np.max(rates)), atol=0.01)
    start, end = shares(paths["own"][0][:2])
    np.testing.assert_allclose(start, TRIPLE, atol=1e-3)
    rate = motion(TRIPLE)
    np.testing.assert_allclose((end - start) / np.linalg.norm(end - start), rate / np.linalg.norm(rate), atol=0.01)
    counts = (1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75)
    for level, count in zip(paths["level"], counts, strict=True):
        inside = np.abs(shares(level))
        inner = np.min(inside, axis=1) > 1e-3
        assert np.any(inner)
        np.testing.assert_allclose(renyi.hill_number(inside[inner], 2), count, rtol=0.01)


def test_address(page):
    page.put("#alpha-text", "1.7")
    page.put("#shares .line:nth-child(1) input", 0.4)
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


def test_a_copied_link_brings_all_back(page):
    """What is set is in the link at once, and the link is on the clipboard, from a file too."""
    keys = webdriver.Keys
    page.put("#preset", "modes")
    page.put("#n", 5)
    page.put(".bar:nth-child(2) input", 0.417)
    page.put("#shares .line:nth-child(1) input", 0.4)
    page.put("#options .option:nth-child(6) input", 2.5)
    page.put("#temperature", 13)
    page.put("#alpha-text", "1/3")
    page.find("#share").click()
    page.driver.execute_async_script("setTimeout(arguments[0], 200)")
    assert page.find("#share").text == "Copied"
    assert page.find("#spoken").get_property("textContent") == "The link is copied."
    assert page.run("return document.activeElement.id") == "share"
    before = page.run(SHOWN)
    address = page.run("return location.href")
    page.find("#alpha-text").send_keys(keys.CONTROL + "av")
    link = page.find("#alpha-text").get_property("value")
    assert link == address
    assert link.startswith(PAGE.as_uri())
    page.open(f"#{link.partition('#')[2]}")
    assert page.run(SHOWN) == before
    expect(page, 1 / 3)


def test_a_rejected_order_says_why(page):
    """Below its field, once the reader pauses; the entry stays until an order is set."""
    keys = webdriver.Keys
    field, why = page.find("#alpha-text"), page.find("#alpha-why")
    assert field.get_attribute("aria-describedby") == "alpha-why"
    page.press(field, keys.CONTROL + "a", keys.NULL, "-2")
    assert field.get_attribute("aria-invalid") == "true"
    page.driver.execute_async_script("setTimeout(arguments[0], 700)")
    assert why.text == "“-2” is negative, and orders are 0 or more. α stays 2."
    left, top, _, height = page.box("#alpha-text")
    assert abs(page.box("#alpha-why")[0] - left) < 60
    assert 0 <= page.box("#alpha-why")[1] - top - height < 30
    expect(page, 2)
    page.press(field, keys.CONTROL + "a", keys.NULL, "two", keys.TAB)
    assert why.text.startswith("“two” is no number. Type ")
    assert field.get_property("value") == "two"
    page.find("#stops button[data-alpha='1']").click()
    page.drawn()
    assert (why.text, field.get_property("value")) == ("", "1")
    assert field.get_attribute("aria-invalid") == "false"
    page.open("#a=-3")
    assert page.find("#alpha-why").text.startswith("“-3” is negative")
    expect(page, 2)


def test_links_lead_to_pages_of_the_checkout(page):
    places = [link.get_property("href") for link in page.all("a[href^='../']")]
    assert len(places) == 5
    for place in places:
        page.driver.get(place)
        assert page.find("body").text.startswith("# "), place


@pytest.mark.parametrize("width", [360, 768, 1000, 1400])
def test_fits_every_width(page, width):
    for scheme, fragment in (
        ("light", "#a=0.5&d=tail&n=16"),
        ("dark", "#a=20&d=sure&n=2&p=0.1,0.3,0.6"),
        ("light", "#a=-1e4"),
    ):
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
        const common = (p, q, low, high) => Math.min(p[high], q[high]) - Math.max(p[low], q[low]);
        const clash = (p, q) => common(p, q, "left", "right") > 1 && common(p, q, "top", "bottom") > 4;
        return [...document.querySelectorAll(".picture svg, .stops")].flatMap((svg) => {
          const texts = [...svg.querySelectorAll("text, button")];
          const boxes = texts.map((e) => e.getBoundingClientRect());
          const pairs = texts.flatMap((a, i) => texts.slice(i + 1).map((b, j) => [i, i + 1 + j]));
          const words = ([i, j]) => `${texts[i].textContent} on ${texts[j].textContent}`;
          return pairs.filter(([i, j]) => clash(boxes[i], boxes[j])).map(words);
        });
        """
        assert page.run(overlaps) == []


def test_motion_is_a_choice(page):
    """All orders are played on demand, and nothing moves by itself for who asked for less motion."""
    page.put("#alpha", 236)
    page.find("#play").click()
    assert page.find("#play").get_attribute("aria-pressed") == "true"
    wait = """
    const [done] = arguments;
    const look = () => (document.querySelector("#alpha").value === "240" ? done() : setTimeout(look, 20));
    look();
    """
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


def test_words_of_the_push(page):
    for fragment, words in (
        ("#a=2", "1.84 outcomes in effect. Presses most on A (−0.399), lifts most B (+0.262)."),
        ("#a=0", "3.00 outcomes in effect. Order 0 counts outcomes: no small change of p moves it."),
        ("#a=2&p=0,1,0", "1.00 outcomes in effect. One outcome is certain: what has probability 0 stays out."),
        ("#a=2&p=0.5,0,0.5", "2.00 outcomes in effect. All possible outcomes are alike: nothing is left to gain."),
    ):
        page.run("location.hash = arguments[0]", fragment)
        page.drawn()
        page.drawn()
        assert page.find("#simplex-words").text == words
