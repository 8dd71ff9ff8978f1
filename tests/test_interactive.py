"""The numerics of the interactive page, against the library: its scripts without a page, by Node."""

from __future__ import annotations

import importlib
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import mpmath
import numpy as np
import pytest

import renyi_core as renyi

BACKENDS = ("numpy",)
PAGE = Path(__file__).parent.parent / "docs" / "interactive"
EPS = 2.0**-52
ORDERS = (0, 1e-6, 0.3, 0.5, 0.9, 1 - 1e-9, 1, 1 + 1e-9, 1.1, 1.7, 2, 3, 20, 1000, math.inf)
DISTRIBUTIONS = {
    "one": [1.0],
    "uniform": [1.0] * 7,
    "nearly uniform": [1.0, 1 + 1e-9, 1 - 2e-9, 1.0],
    "three": [0.7, 0.22, 0.08],
    "long tail": [1.0, 0.354, 0.192, 0.125, 0.089, 0.068, 0.054, 0.044],
    "nearly deterministic": [1 - 1e-9, 3e-10, 7e-10],
    "an impossible one": [0.5, 0.0, 0.3, 0.2],
    "ties": [0.4, 0.4, 0.1, 0.1],
    "far apart": [1.0, 1e-30, 1e-200, 0.0],
}
SCORES = [
    ([2, 1.5, 1, 0, -1, -2], 1.0),
    ([2, 1.5, 1, 0, -1, -2], 0.05),
    ([2, 1.5, 1, 0, -1, -2], 20.0),
    ([1, 1, 0.25, 0.25, -1], 0.8),
    ([2.05, 0, 0.01, -0.005, 0.02, -0.01], 1.0),
    ([3, -math.inf, -0.4, 2.2], 1.5),
    ([3.00007648, 2.99987853, 2.9998047], 0.1),
    ([0.3, -1.2, 0.9, 0.1], 1e7),
    ([0.7, 0.7, 0.7], 1.0),
    ([5], 1.0),
    ([1e308, -1e308, 0], 1.0),
    ([1, 2, 3], 1e-300),
]
PROGRAM = """
const table = require(process.argv[1]);
const isFloat = (value) => value !== null && typeof value === "object" && "float" in value;
const read = (key, value) => (isFloat(value) ? Number(value.float) : value);
const write = (key, value) => (typeof value === "number" ? { float: String(value) } : value);
const of = ([name, ...rest]) => (typeof table[name] === "function" ? table[name](...rest) : table[name]);
let given = "";
process.stdin.on("data", (part) => (given += part)).on("end", () => {
  console.log(JSON.stringify(JSON.parse(given, read).map(of), write));
});
"""

pytestmark = pytest.mark.usefixtures("backend")


def _written(value):
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_written(x) for x in value]
    if isinstance(value, (float, int, np.floating)):
        return {"float": repr(float(value)).replace("inf", "Infinity").replace("nan", "NaN")}
    return value


def javascript(file, calls):
    """Return what functions of a script give, each call a name and its arguments."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not on PATH: the page's numerics run there")
    command = [node, "-e", PROGRAM, str(PAGE / file)]
    given = json.dumps([[name, *map(_written, rest)] for name, *rest in calls])
    result = subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(result.stdout, object_hook=lambda pair: float(pair["float"]) if "float" in pair else pair)


def grid(function):
    """Return the distribution, the order and what a function of both gives, for all of them."""
    cases = [(np.asarray(p), alpha) for p in DISTRIBUTIONS.values() for alpha in ORDERS]
    values = javascript("renyi.js", [(function, p, alpha) for p, alpha in cases])
    return [(p, alpha, np.asarray(value)) for (p, alpha), value in zip(cases, values, strict=True)]


def close(value, want, units):
    """Whether a value is within some units in the last place, norm-wise."""
    return np.linalg.norm(value - want) <= units * EPS * np.linalg.norm(want)


@pytest.mark.parametrize(("name", "function"), [("entropy", renyi.entropy), ("hillNumber", renyi.hill_number)])
def test_entropies(name, function):
    for p, alpha, value in grid(name):
        want = float(function(p, alpha))
        assert close(value, want, 8), (p, alpha, value, want)


def test_spectrum():
    p = DISTRIBUTIONS["long tail"]
    (values,) = javascript("renyi.js", [("spectrum", p, ORDERS)])
    assert close(np.asarray(values), renyi.entropy_spectrum(np.asarray(p), ORDERS), 8)


def test_gradient():
    for p, alpha, value in grid("gradient"):
        want = renyi.grad(renyi.entropy)(p, alpha) * p
        assert close(value, want, 16), (p, alpha, value, want)


def exact_escort(p, alpha):
    with mpmath.workdps(50):
        if alpha == math.inf:
            w = [mpmath.mpf(float(x == max(p))) for x in p]
        else:
            w = [mpmath.mpf(float(x)) ** mpmath.mpf(alpha) if x > 0 else mpmath.mpf(0) for x in p]
        return np.asarray([float(x / mpmath.fsum(w)) for x in w])


def test_escort():
    for p, alpha, value in grid("escort"):
        assert close(value, exact_escort(p, alpha), 16), (p, alpha, value)


def test_motion():
    """By the Jacobian of the softmax, and along it the entropy grows."""
    for weights, alpha, value in grid("motion"):
        p = weights / np.sum(weights)
        g = renyi.grad(renyi.entropy)(weights, alpha) * weights
        want = (np.diag(p) - np.outer(p, p)) @ g
        assert np.linalg.norm(value - want) <= 32 * EPS * np.linalg.norm(p * g), (p, alpha)
        if 0.3 <= alpha <= 20 and min(p) > 0.01 and np.ptp(p) > 0.1:
            assert renyi.entropy(p + 1e-3 * value, alpha) > renyi.entropy(p, alpha), (p, alpha)


def test_choice():
    cases = [(scores, alpha, temperature) for scores, temperature in SCORES for alpha in ORDERS]
    values = javascript("renyi.js", [("regularizedArgmax", *case) for case in cases])
    for (scores, alpha, temperature), value in zip(cases, values, strict=True):
        want = renyi.regularized_argmax(np.asarray(scores, dtype=float), alpha, temperature)
        assert close(np.asarray(value), want, 16), (scores, alpha, temperature, value, want)
        assert [x == 0 for x in value] == list(want == 0), (scores, alpha, temperature)


def test_largest_of_several_maxima():
    """Random scores at orders above 1, where the first maximum found is often not the largest."""
    rng = np.random.default_rng(5)
    cases = [(rng.normal(size=8), float(rng.choice([1.5, 2.5, 4, 9])), float(rng.uniform(0.2, 2))) for _ in range(40)]
    values = javascript("renyi.js", [("regularizedArgmax", *case) for case in cases])
    for case, value in zip(cases, values, strict=True):
        assert close(np.asarray(value), renyi.regularized_argmax(*case), 64), case


def test_equal_maxima():
    """At a temperature where two maxima are equal, and next to it, the choice is the library's."""
    scores = np.asarray([1.8, 1.14, 0.77, 0.28, -0.33, -0.41, -0.52, -2.44])
    temperatures = [0.3755946604868097 * (1 + k * r) for k in (-1, 1) for r in (1e-4, 1e-8, 1e-10, 1e-12)]
    values = np.asarray(javascript("renyi.js", [("regularizedArgmax", scores, 2.5, t) for t in temperatures]))
    want = np.stack([renyi.regularized_argmax(scores, 2.5, t) for t in temperatures])
    np.testing.assert_allclose(values, want, rtol=1e-9, atol=0)
    assert np.all(np.abs(want[:4] - want[4:]).max(axis=1) > 0.02)


def test_no_sense_gives_nan():
    bad = [
        ([0.5, -0.1], 1),
        ([0.0, 0.0], 1),
        ([math.nan, 1.0], 2),
        ([math.inf, 1.0], 2),
        ([0.5, 0.5], -1),
        ([1.0], math.nan),
    ]
    scalars = [(name, *case) for name in ("entropy", "hillNumber") for case in bad]
    rows = [(name, *case) for name in ("escort", "gradient", "motion") for case in bad]
    choices = [([1, math.nan], 2, 1), ([1, math.inf], 2, 1), ([-math.inf], 2, 1), ([1, 2], -1, 1), ([1, 2], 2, 0)]
    rows += [("regularizedArgmax", *case) for case in choices]
    for call, value in zip(scalars + rows, javascript("renyi.js", scalars + rows), strict=True):
        assert np.all(np.isnan(value)), call


def test_orders_of_the_dial():
    calls = [("STEPS",), ("STOPS",)] + [("orderOf", k) for k in range(241)]
    steps, stops, *orders = javascript("state.js", calls)
    assert steps == 240
    assert stops == [0, 0.5, 1, 2, math.inf]
    assert set(stops) < set(orders)
    assert orders == sorted(set(orders))
    texts = {"2": 2, " 1/2 ": 0.5, "½": 0.5, "inf": math.inf, "∞": math.inf, "1e-6": 1e-6, ".5": 0.5, "0,7": 0.7}
    none = ["", "-1", "x", "1/0", "1e999", "2 3"]
    calls = [("stepOf", alpha) for alpha in orders] + [("parseOrder", text) for text in [*texts, *none]]
    results = javascript("state.js", calls)
    assert results[:241] == list(range(241))
    assert results[241 : 241 + len(texts)] == list(texts.values())
    assert all(map(math.isnan, results[241 + len(texts) :]))


def test_why_an_order_is_rejected():
    """Whatever is no order has a reason, and an order has none."""
    reasons = {
        "": "is missing",
        "  ": "is missing",
        "-1": "“-1” is negative",
        "−½": "“−½” is negative",
        "-inf": "is negative",
        "two": "“two” is no number",
        "2 3": "is no number",
        "1/2/3": "is no number",
        "1/0": "divides by 0",
        "1/": "divides by 0",
        "1e999": "is too large",
    }
    orders = ["2", " 1/2 ", "½", "inf", "∞", "1e-6", ".5", "0,7", "0"]
    found = javascript("state.js", [("whyNot", text) for text in [*reasons, *orders]])
    for text, why, reason in zip(reasons, found, reasons.values(), strict=False):
        assert reason in why, (text, why)
        assert "0 or more" in why or "Type " in why, (text, why)
    assert found[len(reasons) :] == [""] * len(orders)


def test_address():
    """What is set survives its way through the address, and what cannot be read is as at the start."""
    start, weights = javascript("state.js", [("fresh",), ("preset", "modes", 11)])
    own = {"alpha": math.inf, "preset": None, "weights": [0.2, 0, 1], "triple": [0.1, 0.25, 0.65], "temperature": 0.05}
    own["scores"] = [-3, 0.05, 3, 1, 1, -2.95]
    states = [start, own, start | {"preset": "modes", "weights": weights}]
    texts = javascript("state.js", [("encode", json_state(state)) for state in states])
    nonsense = ["", "#a=-1&w=0,0&p=1,2&s=1&t=0", "#a=x&w=2,1&d=toString&n=99", "#p=-1,1,1&t=nan&s=9,9,9,9,9,9&w=1,,"]
    read = javascript("state.js", [("decode", text) for text in [*(f"#{text}" for text in texts), *nonsense]])
    assert read == states + [start] * len(nonsense)


def json_state(state):
    return {key: _written(value) for key, value in state.items()}


def test_points_of_the_triangle():
    given = [[0.2, 0.3, 0.5], [1.2, -0.3, 0.1], [-1, -1, 3], [0.5, 0.7, -0.2]]
    calls = [("ontoSimplex", p) for p in given]
    *nearests, first, second = javascript(
        "state.js", [*calls, ("withShare", [0.6, 0.3, 0.1], 0, 0.2), ("withShare", [1, 0, 0], 0, 0.5)]
    )
    for point, nearest in zip(given, nearests, strict=True):
        assert min(nearest) >= 0
        assert math.isclose(sum(nearest), 1)
        # the nearest point: no corner is in the direction of what was left out
        rest = np.asarray(point) - nearest
        assert np.max(rest - rest @ nearest) <= 1e-12
    assert first == [0.2, 0.6, 0.2]
    assert second == [0.5, 0.25, 0.25]


def test_files():
    """Nothing is loaded from elsewhere, and the links lead to pages of this documentation."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    for file in PAGE.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//cdn|@import|url\(|fetch\(|XMLHttpRequest|\bimport\b.*from", text), file.name
    loaded = re.findall(r'(?:src|href)="([\w.]+\.(?:js|css))"', html)
    assert sorted(loaded) == sorted(file.name for file in PAGE.iterdir() if file.suffix != ".html")
    assert places(html) == {"../index.md", "../quantities.md", "../choosing.md"}
    assert all((PAGE / place).exists() for place in places(html))


def places(html):
    """Where the links out of the folder lead."""
    return set(re.findall(r'href="(\.\./[^"]+)"', html))


def test_links_on_the_site(tmp_path, monkeypatch):
    """They lead to what Sphinx makes of the pages; all else is as in the checkout."""
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(PAGE.parent / "_ext")
    importlib.import_module("repository").publish(tmp_path / "interactive")
    made = {file.name: file.read_bytes() for file in (tmp_path / "interactive").iterdir()}
    assert places(made["index.html"].decode()) == {"../index.html", "../quantities.html", "../choosing.html"}
    assert made | {"index.html": b""} == {file.name: file.read_bytes() for file in PAGE.iterdir()} | {"index.html": b""}


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_picture_leads_to_the_page(name):
    path = PAGE.parents[1] / name
    text = path.read_text(encoding="utf-8")
    ((alt, picture, page),) = re.findall(r"\[!\[([^\]]+)\]\((\S+)\)\]\((\S+)\)", text)
    assert len(alt.split()) > 3
    assert (path.parent / page).resolve() == (PAGE / "index.html").resolve()
    assert text.index(picture) < text.index("\n## ")
    content = (path.parent / picture).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 150_000


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_contrast():
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    for theme in (light, dark):
        color = dict(re.findall(r"--([\w-]+): (#\w{6});", theme))
        text = [(ink, ground) for ink in ("ink", "soft", "p", "alpha") for ground in ("card", "page")]
        text += [("alpha", "alpha-soft"), ("soft", "faint"), ("down", "card"), ("ink", "faint")]
        graphics = [(ink, "card") for ink in ("q", "up", "down", "ghost")] + [("p", "faint"), ("ink", "faint")]
        for pairs, least in ((text, 4.5), (graphics, 3)):
            for ink, ground in pairs:
                high, low = sorted((luminance(color[ink]), luminance(color[ground])), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= least, (ink, ground)


def test_words():
    """They tell of what is shown, at the ends of the range too."""
    even, tail = [0.25] * 4, [0.6, 0.3, 0.0, 0.1]
    calls = [
        ("spectrum", tail, 2),
        ("spectrum", even, math.inf),
        ("escort", tail, [0.8, 0.19, 0, 0.0001]),
        ("escort", [0.5, 0, 0.5], [0.5, 0, 0.5]),
        ("choice", [0.6, 0.4, 0], [1, 0.5, -1], 1),
        ("choice", even, [-1, -1, -1, -1], 0.5),
        ("number", -0.63456),
        ("small", -0.00012),
    ]
    entropy = f"{float(renyi.entropy(np.asarray(tail), 2)):.3f}"
    at_2 = f"Order 2 looks more at the common outcomes: {entropy} nats, as uncertain as 2.17 equally likely outcomes."
    at_most = "Order ∞ sees the likeliest outcome alone: 1.386 nats, as uncertain as 4.00 equally likely outcomes."
    assert javascript("words.js", calls) == [
        f"{at_2} Over all orders it is from 3 down to 1.67.",
        f"{at_most} All orders agree.",
        "The likeliest outcome, 1, has 60.0 % of p and 80.0 % of q; the rarest, 4, 10.0 % and under 0.1 %.",
        "All possible outcomes are alike: q is p at every order.",
        "1 of 3 options has exactly 0. Expected score 0.80; 1.96 options in effect at this order.",
        "No option is left out. Expected score −1.00; 4.00 options in effect at this order.",
        "−0.635",
        "−1.2e−4",
    ]
