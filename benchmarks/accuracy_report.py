"""What accuracy.py writes: its rows as CSV, the tables, and the figure of the worst error over the orders."""

from __future__ import annotations

import csv
import functools
import importlib.metadata
import math
import platform

import mpmath
import numpy as np

import renyi_core as renyi

PACKAGES = ("dit", "scikit-bio", "scipy", "pyitlib", "torch")
STEPS = (0.1, 1e-3, 1e-5, 1e-7, 1e-9, 1e-11, 1e-13, 1e-15)
ORDERS = (0.01, 0.1, 0.5, 1, 2, 5, 10, 100, 1000)
GREEN, AMBER, RED = "#0b6e4f", "#c98a00", "#b3261e"
STYLE = {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 13}
COLUMNS = ("part", "dtype", "method", "distribution", "alpha", "error")
HEAD = """# How exact

{versions}; benchmarks/accuracy.py, {machine}.
Relative errors in units of eps (2⁻⁵² and 2⁻²³), against 80 digits, of the numbers given, normalized.
Five distributions of 100 outcomes: logits ~ N(0, 9) and N(0, 10⁻⁶), peaked, 1/rank, and multiples of 2⁻²⁰ that add
up to 1 exactly.
"All digits": an error of half the value or more, or not finite.

| method | called |
| --- | --- |
| renyi-core, logits | `entropy_from_logits(logits, alpha)` |
| renyi-core, probabilities | `entropy(probs, alpha)` |
| textbook | softmax p; `np.log((p**alpha).sum()) / (1 - alpha)`, at 1 `-(p * np.log(p)).sum()` |
| textbook with a branch | the same, with the formula of α = 1 where abs(alpha - 1) < 1e-8 |
| dit | `dit.other.renyi_entropy(dit.Distribution(outcomes, probs), alpha)` times log 2 |
| scikit-bio | `skbio.diversity.alpha.renyi(probs, order=alpha)`; it takes counts, and divides by their sum |
| scipy | `scipy.stats.entropy(probs)` |
| pyitlib | `pyitlib.discrete_random_variable.entropy_pmf(probs, base=math.e)` |
| torch | `torch.distributions.Categorical(logits=logits).entropy()` |
"""


def worst(rows, **wanted):
    """Return the largest error of the rows that have these entries; method and part by their beginning."""
    errors = [row["error"] for row in rows if all(row[key] == value for key, value in wanted.items())]
    return max(errors)


def shown(error, dtype="float64"):
    """Return an error as the tables show it."""
    if error * np.finfo(dtype).eps >= 0.5:
        return "all digits"
    if error < 1000:
        return f"{error:.1f}" if error < 10 else f"{error:.0f}"
    return f"{error:.0e}".replace("e+0", "e").replace("e+", "e")


def _at_distance(step, alpha):
    return math.isclose(abs(alpha - 1), step, rel_tol=0.2)


def _is_order(order, alpha):
    return alpha == order


def markdown(rows, masks):
    """Return the tables of the result."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    lines = []

    def table(header, body):
        lines.extend(["", "| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"])
        lines.extend("| " + " | ".join(cells) + " |" for cells in body)

    def by_order(title, columns, part):
        lines.extend(["", f"## {title}"])
        body = []
        for dtype in ("float64", "float32"):
            for name in names:
                some = [row for row in rows if (row["dtype"], row["method"]) == (dtype, name)]
                found = [
                    max((row["error"] for row in some if row["part"] in part and of(row["alpha"])), default=None)
                    for of in columns.values()
                ]
                if any(error is not None for error in found):
                    body.append([dtype, name, *("" if error is None else shown(error, dtype) for error in found)])
        table(["dtype", "method", *columns], body)

    steps = {f"1 ± {step:g}": functools.partial(_at_distance, step) for step in STEPS}
    by_order("Near α = 1: worst error over five distributions", steps, ("near 1",))
    orders = {f"{alpha:g}": functools.partial(_is_order, alpha) for alpha in ORDERS}
    by_order("All orders: worst error over five distributions", orders, ("wide", "at 1"))

    lines += ["", "## The gradient with respect to the logits: worst error of its norm"]
    body = [
        [dtype, name]
        + [shown(worst(rows, part=part, dtype=dtype, method=name), dtype) for part in ("gradient near 1", "gradient")]
        for dtype in ("float64", "float32")
        for name in ("renyi-core, logits", "textbook")
    ]
    table(["dtype", "method", "near 1", "wide"], body)

    lines += ["", "## Nearly certain: three outcomes of exp(−gap) each, float64"]
    some = [row for row in rows if row["part"] == "nearly certain" and row["dtype"] == "float64"]
    gaps = sorted({int(row["distribution"][len("exp(-") : -1]) for row in some})
    body = []
    for alpha in sorted({row["alpha"] for row in some}):
        for name in names:
            errors = {
                row["distribution"]: row["error"] for row in some if (row["method"], row["alpha"]) == (name, alpha)
            }
            if errors:
                body.append([f"{alpha:g}", name, *(shown(errors[f"exp(-{gap})"]) for gap in gaps)])
    table(["α", "method", *(f"gap {gap}" for gap in gaps)], body)

    if masks:
        lines += ["", "## A masked logit in torch: z = (1, 0, −inf), float32"]
        body = [[name, *(f"{x:.6f}" for x in numbers)] for name, numbers in masks.items()]
        table(["entropy", "value", "∂z₁", "∂z₂", "∂z₃"], body)
    return "\n".join(lines)


def head():
    """Return what the tables are of."""
    numpy = f"NumPy {np.__version__}, mpmath {mpmath.__version__}"
    known = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES if _installed(name)]
    everything = ", ".join([f"renyi-core {renyi.__version__}", *known, numpy, f"Python {platform.python_version()}"])
    return HEAD.format(versions=everything, machine=f"{platform.system()} {platform.machine()}")


def _installed(name):
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def write_csv(rows, path):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "alpha": repr(row["alpha"]), "error": f"{row['error']:.2g}"} for row in rows)


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [{**row, "alpha": float(row["alpha"]), "error": float(row["error"])} for row in csv.DictReader(file)]


def curve(rows, dtype, methods, part, of):
    """Return the abscissae and the worst error at each, every digit lost at the most."""
    found = {}
    limit = 1 / float(np.finfo(dtype).eps)
    for row in rows:
        if row["dtype"] == dtype and row["method"] in methods and row["part"] in part:
            x = of(row["alpha"])
            found[x] = max(found.get(x, 0), min(row["error"], limit))
    return np.asarray(sorted(found.items())).T


def distance(alpha):
    return 10.0 ** round(math.log10(abs(alpha - 1)))


def draw(rows, path):
    """Draw the figure for a column as wide as a phone: one panel below the other."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ours = ("renyi-core, logits", "renyi-core, probabilities")
    with plt.rc_context(STYLE):
        figure, (near, wide) = plt.subplots(2, 1, figsize=(6.4, 8.2), layout="constrained")
        for axes, dtype in ((near, "float64"), (wide, "float32")):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_ylabel("worst relative error, in eps")
            axes.grid(visible=True, color="0.92")
            limit = 1 / float(np.finfo(dtype).eps)
            axes.axhline(limit, color="0.55", linewidth=1)
            axes.set_ylim(0.2, limit * 8)
        near.plot(*curve(rows, "float64", ("textbook",), ("near 1",), distance), color=RED, linewidth=2)
        for package, marker in (("dit", "x"), ("scikit-bio", "+")):
            points = curve(rows, "float64", (package,), ("near 1",), distance)
            if points.size:
                near.plot(*points, marker, color=RED, markersize=7, label=package)
        near.plot(*curve(rows, "float64", ("textbook with a branch",), ("near 1",), distance), "--", color=AMBER, lw=2)
        near.plot(*curve(rows, "float64", ours, ("near 1",), distance), color=GREEN, linewidth=3)
        near.set_title("Close to α = 1, float64", loc="left", fontweight="bold")
        near.set_xlabel("distance of α from 1")
        near.text(0.1, 1.6e15, "every digit lost", color="0.4", ha="right", va="top")
        near.text(0.1, 6e11, "textbook formula,\ndit (×), scikit-bio (+)", color=RED, ha="right", va="center")
        near.text(2e-11, 8e3, "branch to Shannon\nwithin 1e-8 of 1", color=AMBER, ha="left", va="center")
        near.text(1e-8, 9, "renyi-core", color=GREEN, ha="center", fontweight="bold")

        for methods, color, width in ((("textbook",), RED, 2), (ours, GREEN, 3)):
            points = curve(rows, "float32", methods, ("wide", "at 1"), float)
            wide.plot(*points, color=color, linewidth=width)
        wide.set_title("All orders, float32", loc="left", fontweight="bold")
        wide.set_xlabel("α")
        wide.text(0.01, 5.5e6, "every digit lost", color="0.4", ha="left", va="top")
        wide.text(25, 3e3, "textbook\nformula", color=RED, ha="right", va="center")
        wide.text(0.03, 6, "renyi-core", color=GREEN, fontweight="bold")
        figure.savefig(path, dpi=125, facecolor="white", metadata={"Software": None})
        plt.close(figure)
