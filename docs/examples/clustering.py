"""Cluster images of digits without labels: where collapse ends, for each order of the balance term. In plain NumPy.

The loss of information maximization is sure assignments, alike for distorted images, - weight * H_alpha of the mean
assignment. Without the last term all images fall into one cluster. Run it with

    python docs/examples/clustering.py

No framework differentiates anything: the gradients are analytic. It prints a table, k-means in its last line, and
saves the numbers and a map of the orders and weights. With ``--arrays cupy`` it takes CuPy's arrays, on a GPU.
"""

import argparse
import functools
import importlib
import math
from typing import NamedTuple

import clustering_network as network
import harness
import numpy as np
from array_api_compat import array_namespace
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

import renyi_core as renyi

PLAN = network.Plan()
ALPHAS = (0.5, 1.0, 2.0, 4.0, math.inf)
WEIGHTS, WEIGHTS_FULL = (0.1, 0.2, 0.5), (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
MEASURES = ("accuracy", "NMI", "clusters", "balance")
DIGITS = {"accuracy": 3, "NMI": 3, "clusters": 1, "balance": 3}
USED = 0.01  # the share of the images that makes a cluster count as used


class Setting(NamedTuple):
    """An order, or what stands in its place, and the weight of the balance term."""

    alpha: float | str
    weight: float | str


NONE, KMEANS = Setting("none", 0.0), Setting("k-means", "–")
# collapsed, half collapsed, as it should be, and even without a meaning
GALLERY = (NONE, Setting(1.0, 0.1), Setting(2.0, 0.5), Setting(math.inf, 0.5))


def settings(weights):
    return [NONE, *(Setting(alpha, weight) for alpha in ALPHAS for weight in weights), KMEANS]


def cluster(setting, seed, plan, arrays):
    """Return the images, their digits, and a cluster for each, in NumPy."""
    images, digits = load_digits(return_X_y=True)
    images = images / 16
    if setting == KMEANS:
        return images, digits, KMeans(network.CLUSTERS, n_init=10, random_state=seed).fit_predict(images)
    module = importlib.import_module(arrays)
    xp = array_namespace(module.zeros(1))
    alpha = 1.0 if setting == NONE else setting.alpha
    found = network.train(images, alpha, setting.weight, seed, plan=plan, xp=xp)
    return images, digits, found.get() if arrays == "cupy" else np.asarray(found)


def scores(digits, found):
    """Return the measures; the digits serve for these alone."""
    table = contingency_matrix(digits, found)
    sizes = table.sum(axis=0) / len(digits)
    return {
        "accuracy": float(table[linear_sum_assignment(-table)].sum() / len(digits)),
        "NMI": float(normalized_mutual_info_score(digits, found)),
        "clusters": int((sizes >= USED).sum()),
        "balance": float(renyi.hill_number(sizes, 1) / network.CLUSTERS),
    }


def run(setting, seed, plan=PLAN, arrays="numpy"):
    """Cluster once, and measure it."""
    _, digits, found = cluster(setting, seed, plan, arrays)
    return scores(digits, found)


def means(rows, measure):
    """Return ``{setting: mean of the measure}``."""
    return {key: harness.moments(same, measure)[0] for key, same in harness.groups(rows, Setting._fields).items()}


def ends(rows):
    """Return ``{alpha: the least weight from which on every run uses all clusters}``, None where there is none."""
    trained = [row for row in rows if row["alpha"] not in {NONE.alpha, KMEANS.alpha}]
    found = {}
    for (alpha,), same in harness.groups(trained, ("alpha",)).items():
        found[alpha] = None
        for (weight,), runs in reversed(harness.groups(same, ("weight",)).items()):
            if any(row["clusters"] < network.CLUSTERS for row in runs):
                break
            found[alpha] = weight
    return found


def show(alpha):
    return {0.5: "1/2", math.inf: "∞"}.get(alpha, f"{alpha:g}")


def draw_map(axes, rows):
    """Color accuracy over order and weight; a line bounds where all clusters are used in every run."""
    accuracy, clusters, end = means(rows, "accuracy"), means(rows, "clusters"), ends(rows)
    alphas = list(end)[::-1]
    weights = [0.0, *dict.fromkeys(weight for alpha, weight in accuracy if alpha == alphas[0])]
    keys = [[(alpha, w) if w else tuple(NONE) for w in weights] + [tuple(KMEANS)] for alpha in alphas]
    values = np.asarray([[accuracy[key] for key in line] for line in keys])
    # k-means stands one column apart
    last = len(weights) + 0.35
    style = {"cmap": "cividis", "vmin": 0.1, "vmax": 0.95}
    picture = axes.imshow(
        values[:, :-1], aspect="auto", extent=(-0.5, len(weights) - 0.5, len(alphas) - 0.5, -0.5), **style
    )
    axes.imshow(values[:1, -1:], aspect="auto", extent=(last - 0.5, last + 0.5, len(alphas) - 0.5, -0.5), **style)

    def label(x, y, key):
        light = accuracy[key] < 0.5
        axes.text(x, y - 0.06, f"{accuracy[key]:.2f}", ha="center", va="center", color="white" if light else "black")
        below = f"{clusters[key]:.2g} of 10" if clusters[key] < network.CLUSTERS else "all 10"
        axes.text(x, y + 0.27, below, ha="center", va="center", size=8, color="white" if light else "black")

    for y, line in enumerate(keys):
        for x, key in enumerate(line[1:-1], 1):
            label(x, y, key)
    edges = [len(weights) if end[alpha] is None else weights.index(end[alpha]) for alpha in alphas]
    bounds = [y + side for y in range(len(alphas)) for side in (-0.5, 0.5)]
    axes.plot(np.repeat(edges, 2) - 0.5, bounds, color="#e3342f", lw=3, solid_joinstyle="miter")
    middle = (len(alphas) - 1) / 2
    label(0, middle, tuple(NONE))
    label(last, middle, tuple(KMEANS))
    axes.set(xlim=(-0.5, last + 0.5), ylim=(len(alphas) - 0.5, -0.5), xlabel="weight λ of the balance term")
    axes.xaxis.set_ticks([*range(len(weights)), last], [*(f"{w:g}" for w in weights), "k-means"])
    axes.yaxis.set_ticks(range(len(alphas)), [f"α = {show(alpha)}" for alpha in alphas])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return picture


def draw_clusters(axes, setting, seed, plan, arrays):
    """Draw the mean image of each cluster, the largest first."""
    images, digits, found = cluster(setting, seed, plan, arrays)
    sizes = np.bincount(found, minlength=network.CLUSTERS)
    tiles = np.full((network.SIDE, network.CLUSTERS * (network.SIDE + 1) - 1), np.nan)
    for place, k in enumerate(np.argsort(-sizes, kind="stable")):
        if sizes[k]:
            left = place * (network.SIDE + 1)
            tiles[:, left : left + network.SIDE] = images[found == k].mean(axis=0).reshape(network.SIDE, network.SIDE)
    axes.imshow(tiles, cmap="gray_r", vmin=0, vmax=1)
    axes.set_axis_off()
    name = "λ = 0" if setting == NONE else f"α = {show(setting.alpha)}, λ = {setting.weight:g}"
    axes.set_title(f"{name}, seed {seed}: accuracy {scores(digits, found)['accuracy']:.2f}", loc="left", size=9)


def draw(rows, path, plan=PLAN, arrays="numpy"):
    figure = Figure(figsize=(6.4, 7.6), layout="constrained")
    grid = figure.add_gridspec(1 + len(GALLERY), 1, height_ratios=[5.2] + [1] * len(GALLERY))
    axes = figure.add_subplot(grid[0])
    figure.colorbar(draw_map(axes, rows), ax=axes, label="accuracy", location="top", aspect=50, shrink=0.6)
    axes.set_title("Right of the red line no run loses a cluster", loc="left", weight="bold", size=11)
    for place, setting in enumerate(GALLERY, 1):
        draw_clusters(figure.add_subplot(grid[place]), setting, 0, plan, arrays)
    figure.savefig(path, dpi=130)


def main(argv=None, plan=PLAN, weights=WEIGHTS):
    more = argparse.ArgumentParser(add_help=False)
    more.add_argument("--arrays", choices=("numpy", "cupy"), default="numpy", help="the array library (default: numpy)")
    options = harness.parse("Clustering balanced by a Rényi entropy.", seeds=5, argv=argv, parents=[more])
    job = functools.partial(run, plan=plan, arrays=options.arrays)
    grid = settings(WEIGHTS_FULL if options.full else weights)
    rows = harness.study(job, grid, seeds=options.seeds, workers=options.workers, description="clustering")
    harness.write_csv(rows, options.output / "clustering.csv")
    harness.print_table(rows, by=Setting._fields, measures=MEASURES, digits=DIGITS)
    print(
        "\n1,797 images, mean ± standard deviation over seeds. accuracy: clusters matched to digits in the best way.\n"
        f"clusters: those with at least {USED:.0%} of the images. balance: exp(H_1) of the clusters' sizes, over 10."
    )
    for alpha, weight in ends(rows).items():
        where = f"no cluster lost from λ = {weight:g} on" if weight else "clusters lost at the largest λ, too"
        print(f"α = {show(alpha)}: {where}")
    draw(rows, options.output / "clustering.png", plan, options.arrays)
    print(f"Figure: {options.output / 'clustering.png'}")


if __name__ == "__main__":
    main()
