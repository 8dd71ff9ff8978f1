"""The summary of logits against the functions it is read off, and the figure."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.monitoring import plot_spectrum, spectrum_orders

# what the adapters change is in the functions that it calls
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")


def logits(backend, dtype=None):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 7)) * np.asarray([[0.1], [1.0], [4.0], [40.0]])
    x[1, 2] = -math.inf
    return backend.asarray(x, dtype)


@pytest.mark.parametrize("alphas", [(0.5, 1, 2, math.inf), [math.inf, 3.0], (0.5, 1.0), "array"])
def test_summary_is_what_the_functions_return(backend, alphas):
    orders = [0.5, math.inf] if alphas == "array" else alphas
    for dtype in backend.dtypes:
        x = logits(backend, dtype)
        where = backend.asarray(np.arange(7) != 3)
        given = backend.asarray(np.asarray(orders), dtype) if alphas == "array" else alphas
        found = backend.compiled(lambda x, where, given=given: renyi.summary(x, given, where=where))(x, where)
        assert type(found) is renyi.Summary
        assert all(part.dtype == x.dtype for part in found)
        assert found.spectrum.shape == found.effective_number.shape == (4, len(orders))
        assert found.min_entropy.shape == found.top_mass.shape == (4,)

        def reference(x, where):
            hill = [renyi.hill_number_from_logits(x, alpha, where=where) for alpha in orders]
            return renyi.entropy_spectrum_from_logits(x, orders, where=where), hill, renyi.hill_number_from_logits(
                x, math.inf, where=where
            )  # fmt: skip

        spectrum, hill, top = backend.compiled(reference)(x, where)
        eps = float(np.finfo(dtype).eps)
        bound = backend.bounds[dtype][0]
        # of an exponential: that of log 7 nats, one more, and the Hill number's own
        factor = eps * (bound * math.log(7) + 1 + bound)
        np.testing.assert_allclose(backend.numpy(found.spectrum), backend.numpy(spectrum), rtol=2 * bound * eps)
        largest = np.stack([backend.numpy(values) for values in hill], axis=-1)
        np.testing.assert_allclose(backend.numpy(found.effective_number), largest, rtol=factor)
        np.testing.assert_allclose(backend.numpy(found.top_mass), 1 / backend.numpy(top), rtol=factor)
        np.testing.assert_allclose(np.exp(backend.numpy(found.min_entropy)), backend.numpy(top), rtol=factor)


def test_summary_takes_one_pass_for_each_order(backend, monkeypatch):
    """And no other for the min-entropy if ∞ is among them."""
    if backend.name != "numpy":
        pytest.skip("counted in NumPy's adapter")
    from renyi_adapters import numpy as adapter

    calls = []
    kernel = adapter.entropy
    monkeypatch.setattr(adapter, "entropy", lambda *args, **options: calls.append(args[1]) or kernel(*args, **options))
    for name in ("entropies_at_once", "spectrum_at_once"):
        monkeypatch.setattr(adapter, name, lambda *_: None)
    renyi.summary(np.zeros((2, 3)))
    assert [order.alpha for order in calls] == [0.5, 1, 2, math.inf]
    calls.clear()
    renyi.summary(np.zeros((2, 3)), (2.0,))
    assert [order.alpha for order in calls] == [2.0, math.inf]


def test_summary_of_axes(backend):
    x = backend.asarray(np.zeros((3, 2, 4)))
    found = renyi.summary(x, axis=(0, 2))
    assert found.spectrum.shape == (2, 4)
    np.testing.assert_allclose(backend.numpy(found.effective_number), 12.0, rtol=1e-5)
    np.testing.assert_allclose(backend.numpy(found.top_mass), 1 / 12, rtol=1e-5)


def test_orders_of_a_curve():
    assert spectrum_orders(2) == [0.0, math.inf]
    orders = spectrum_orders()
    assert (len(orders), orders[0], orders[32], orders[-1]) == (65, 0.0, 1.0, math.inf)
    places = np.asarray([alpha / (1 + alpha) for alpha in orders[:-1]])
    np.testing.assert_allclose(places, np.arange(64) / 64, atol=1e-15)
    for bad in (1, 0, -3):
        with pytest.raises(ValueError, match="`count`"):
            spectrum_orders(bad)
    for bad in (3.0, "3", None, True):
        with pytest.raises(TypeError, match="`count`"):
            spectrum_orders(bad)


@pytest.fixture
def axes():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_figure(axes, tmp_path):
    orders = [0.0, 0.5, 1.0, 3.0, math.inf]
    rows = np.stack([np.zeros(30), 3 * np.arange(30.0)])
    spectrum = renyi.entropy_spectrum_from_logits(rows, orders)
    assert plot_spectrum(spectrum, orders, outcomes=30, labels=["flat", "steep"], ax=axes) is axes
    curves = [line for line in axes.lines if len(line.get_xdata()) == 5]
    for line, values, label in zip(curves, spectrum, ["flat", "steep"], strict=True):
        np.testing.assert_allclose(line.get_xdata(), [0.0, 1 / 3, 0.5, 0.75, 1.0])
        np.testing.assert_array_equal(line.get_ydata(), values)
        assert line.get_label() == label
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1/2", "1", "2", "4", "∞"]
    np.testing.assert_allclose(axes.get_xticks(), [0, 1 / 3, 1 / 2, 2 / 3, 4 / 5, 1])
    (line,) = [line for line in axes.lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(line.get_ydata(), math.log(30))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["flat", "steep"]
    (right,) = axes.child_axes
    axes.figure.canvas.draw()
    assert right.get_ylim() == axes.get_ylim()
    assert axes.get_ylim()[0] == 0
    numbers = [int(text.get_text()) for text in right.get_yticklabels()]
    assert numbers == [1, 2, 5, 10, 20]
    np.testing.assert_allclose(right.get_yticks(), np.log(numbers))
    axes.figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("n", "expected"), [(1, [1]), (4, [1, 2, 3, 4]), (1000, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])]
)
def test_ticks_of_the_effective_number(axes, n, expected):
    orders = [0.0, math.inf]
    plot_spectrum(renyi.entropy_spectrum_from_logits(np.zeros(n), orders), orders, ax=axes)
    labels = [int(text.get_text().replace(",", "")) for text in axes.child_axes[0].get_yticklabels()]
    assert labels == expected


@pytest.mark.parametrize(("base", "label"), [(2, "bits"), (10.0, "hartleys"), (3, "log base 3"), (None, "nats")])
def test_figure_in_a_base(axes, base, label):
    """Both axes say what they show: 19 equally likely outcomes are 4.25 bits and 19, not 69, effective outcomes."""
    orders = [0.0, math.inf]
    spectrum = renyi.entropy_spectrum_from_logits(np.zeros(19), orders, base=base)
    plot_spectrum(spectrum, orders, base=base, outcomes=19, ax=axes)
    assert axes.get_ylabel() == f"Rényi entropy [{label}]"
    curve, line = axes.lines
    np.testing.assert_allclose(curve.get_ydata(), math.log(19) / math.log(base or math.e), rtol=1e-15)
    np.testing.assert_allclose(line.get_ydata(), curve.get_ydata(), rtol=1e-15)
    (right,) = axes.child_axes
    numbers = [int(text.get_text()) for text in right.get_yticklabels()]
    assert numbers == [1, 2, 5, 10, 20]
    np.testing.assert_allclose(right.get_yticks(), np.log(numbers) / math.log(base or math.e), rtol=1e-15)


def test_figure_over_any_orders(backend, axes):
    """Those that entropy_spectrum takes: a list, an array of numbers or of integers."""
    if backend.library == "dask":
        pytest.skip("reading values computes the graph")
    for orders in (np.linspace(0.5, 3, 4), np.arange(4)):
        given = backend.asarray(orders)
        if backend.library == "torch" and orders.dtype.kind == "f":
            given.requires_grad_()
        spectrum = renyi.entropy_spectrum_from_logits(logits(backend)[0, :], given)
        plot_spectrum(spectrum, given, ax=axes)
        plot_spectrum(spectrum, orders, ax=axes)
        one, other = axes.lines[-2:]
        np.testing.assert_array_equal(one.get_xdata(), orders / (1 + orders))
        np.testing.assert_array_equal(other.get_xdata(), orders / (1 + orders))


def test_figure_of_any_library(backend, axes):
    if backend.library == "dask":
        pytest.skip("reading values computes the graph")
    spectrum = renyi.entropy_spectrum_from_logits(logits(backend)[:1, :], [0.5, 1.0])
    if backend.library == "torch":
        spectrum.requires_grad_()
    plot_spectrum(spectrum, [0.5, 1.0], ax=axes)
    plot_spectrum(spectrum[0, :], (0.5, 1.0), ax=axes)
    first, second = axes.lines
    np.testing.assert_array_equal(first.get_ydata(), second.get_ydata())
    np.testing.assert_array_equal(first.get_ydata(), backend.numpy(spectrum)[0])


def test_new_axes():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    ax = plot_spectrum(np.asarray([1.0, 0.5]), [0, math.inf])
    assert ax.get_legend() is None
    assert len(ax.lines) == 1
    plt.close(ax.figure)


def test_without_matplotlib():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy as np\nfrom renyi_core.monitoring import plot_spectrum\n"
        "try:\n    plot_spectrum(np.ones(2), [1.0, 2.0])\n"
        "except ImportError as error:\n    print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install renyi-core[plot]" in result.stdout


def test_bad_figures(backend):
    if backend.library == "dask":
        pytest.skip("reading values computes the graph")
    x = backend.asarray(np.ones((2, 3)))
    orders = [0.5, 1, 2]
    for bad in ([[1.0, 1.0, 1.0]], None, backend.asarray(np.ones(3, dtype=np.int64))):
        with pytest.raises(TypeError, match="`spectrum`"):
            plot_spectrum(bad, orders)
    for bad in (backend.asarray(np.asarray(1.0)), backend.asarray(np.ones((1, 1, 3))), x[:, :2]):
        with pytest.raises(ValueError, match="`spectrum`"):
            plot_spectrum(bad, orders)
    for bad in ([], [1, 1, 2], [2, 1, 0.5], [-1, 1, 2], [math.nan, 1, 2], [1, math.nan, 2]):
        with pytest.raises(ValueError, match="`alphas`"):
            plot_spectrum(x, bad)
    flags = backend.asarray(np.asarray([False, True, True]))
    for bad in (2.0, None, ["a", "b", "c"], [None, 1, 2], [True, 2, 3], flags, backend.asarray(np.ones((3, 1)))):
        with pytest.raises(TypeError, match="`alphas`"):
            plot_spectrum(x, bad)
    for bad in (["one"], "ab", ["a", "b", "c"]):
        with pytest.raises(ValueError, match="`labels`"):
            plot_spectrum(x, orders, labels=bad)
    for bad in (0, -1, math.nan):
        with pytest.raises(ValueError, match="`outcomes`"):
            plot_spectrum(x, orders, outcomes=bad)
    with pytest.raises(
        ValueError, match=r"reaches 1, above log n = 0.693147 of 2 `outcomes` in nats: give .* as `base`"
    ):
        plot_spectrum(x, orders, outcomes=2)
    for bad in (0, 1, 0.5, math.inf):
        with pytest.raises(ValueError, match="`base`"):
            plot_spectrum(x, orders, base=bad)
    for bad in ("4", [4], True):
        with pytest.raises(TypeError, match="`outcomes`"):
            plot_spectrum(x, orders, outcomes=bad)
