"""The clustering application: its gradients, its claim in small, its command line, and the page against the runs."""

from __future__ import annotations

import functools
import math
import sys
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.regularizers import BalanceTerm

for module in ("matplotlib", "sklearn", "scipy", "tqdm"):
    pytest.importorskip(module)

BACKENDS = ("numpy",)
DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "clustering.md"
RESULTS = DOCS / "examples" / "results" / "clustering.csv"
SMALL = {"hidden": 64, "epochs": 40}


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(DOCS / "examples"))
    try:
        import clustering
    finally:
        sys.path.remove(str(DOCS / "examples"))
    return clustering


@pytest.fixture(scope="module")
def rows(example):
    return example.harness.read_csv(RESULTS)


# The gradients


def batch(example, dtype, asarray):
    rng = np.random.default_rng(0)
    images, distorted = rng.uniform(size=(2, 20, 64)).astype(dtype)
    made = example.network.Network(16, images.mean(axis=0), rng, lambda values: asarray(values.astype(dtype)))
    return made, asarray(images), asarray(distorted)


def objective(made, teacher, images, distorted, balance, plan):
    """Return the loss of the network by its definition, the teacher's logits given."""
    logits, others = made.forward(images)[0], made.forward(distorted)[0]
    consistency = renyi.divergence_from_logits(teacher, others, 1).mean()
    certain = renyi.entropy_from_logits(logits, 1).mean()
    mean = np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)).mean(axis=0)
    return consistency + plan.certainty * certain - balance.weight * renyi.entropy(mean, balance.alpha)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0, math.inf])
def test_gradients(example, alpha):
    """The chain rule written by hand, against differences of the objective."""
    made, images, distorted = batch(example, np.float64, np.asarray)
    plan, balance = example.network.Plan(certainty=0.3), BalanceTerm(alpha=alpha, weight=0.7)
    gradients = example.network.step(made, images, distorted, balance, plan)
    value = functools.partial(objective, made, made.forward(images)[0], images, distorted, balance, plan)
    rng = np.random.default_rng(1)
    for i, gradient in enumerate(gradients):
        parameter, direction = made.parameters[i], rng.normal(size=gradient.shape)
        sides = []
        for sign in (1, -1, 0):
            made.parameters[i] = parameter + sign * 1e-5 * direction
            sides.append(value())
        assert (sides[0] - sides[1]) / 2e-5 == pytest.approx((gradient * direction).sum(), rel=1e-6)


def test_start(example):
    """At first the mean image has no cluster."""
    made, images, _ = batch(example, np.float64, np.asarray)
    np.testing.assert_allclose(made.forward(images.mean(axis=0, keepdims=True))[0], 0, atol=1e-12)


def test_any_array_library(example):
    """The network asks for nothing beyond the array API standard, and gives the same elsewhere."""
    images = np.random.default_rng(0).uniform(size=(40, 64))
    plan = example.network.Plan(hidden=8, epochs=2, batch=20)
    both = [example.network.train(images, 2.0, 0.5, 0, plan=plan, xp=xp) for xp in (np, array_api_strict)]
    np.testing.assert_array_equal(*map(np.asarray, both))
    gradients = []
    for asarray in (np.asarray, array_api_strict.asarray):
        given = batch(example, np.float32, asarray)
        gradients.append(example.network.step(*given, BalanceTerm(alpha=2.0), plan))
    for here, there in zip(*gradients, strict=True):
        np.testing.assert_allclose(here, np.asarray(there), rtol=1e-4, atol=1e-7)


def test_distortions(example):
    """None leaves an image as it is; a quarter of a turn is NumPy's; a shift by a pixel empties a margin."""
    images = np.random.default_rng(0).uniform(size=(50, 64)).astype(np.float32)

    def distort(**bounds):
        plan = example.network.Plan(**{"shift": 0, "turn": 0, "scale": 0, "noise": 0} | bounds)
        return example.network.distort(images, plan, rng, np.asarray).reshape(50, 8, 8)

    class Edge:
        """A generator that always draws the upper bound."""

        def uniform(self, low, high, size):
            return np.full(size, high)

        def standard_normal(self, size, dtype):
            return np.zeros(size, dtype)

    rng = Edge()
    plain = images.reshape(50, 8, 8)
    np.testing.assert_array_equal(distort(), plain)
    np.testing.assert_allclose(distort(turn=90), np.rot90(plain, -1, axes=(1, 2)), atol=1e-5)
    np.testing.assert_array_equal(distort(shift=1)[:, :7, :7], plain[:, 1:, 1:])
    assert not distort(shift=1)[:, 7, :].any()
    rng = np.random.default_rng(0)
    for bounds in ({"shift": 1}, {"turn": 15}, {"scale": 0.2}, {"noise": 0.2}):
        change = abs(distort(**bounds) - plain).mean(axis=(1, 2))
        assert change.min() < change.max() < 0.5
        assert change.mean() > 0.02


# The claim


@pytest.fixture(scope="module")
def found(example):
    """Return ``{(alpha, weight): mean measures}`` of short trainings of two seeds."""
    plan = example.PLAN._replace(**SMALL)
    settings = [example.NONE, *(example.Setting(*key) for key in ((1.0, 0.1), (4.0, 0.1), (2.0, 0.5)))]
    rows = example.harness.study(functools.partial(example.run, plan=plan), settings, seeds=2)
    means = {name: example.means(rows, name) for name in example.MEASURES}
    return {tuple(key): {name: means[name][key] for name in means} for key in settings}


def test_balance_ends_the_collapse(example, found):
    collapsed, balanced = found[example.NONE], found[2.0, 0.5]
    assert collapsed["clusters"] <= 3
    assert collapsed["accuracy"] < 0.35
    assert balanced["clusters"] >= 9.5
    assert balanced["accuracy"] > 0.7
    assert balanced["balance"] > 0.9
    assert collapsed["balance"] < 0.4


def test_a_larger_order_needs_less_weight(found):
    assert found[4.0, 0.1]["balance"] > found[1.0, 0.1]["balance"] + 0.05


def test_scores(example):
    """Names of clusters do not matter; what is merged, split or empty does."""
    digits = np.repeat(np.arange(10), 20)
    perfect = example.scores(digits, (digits + 3) % 10)
    assert perfect == pytest.approx({"accuracy": 1, "NMI": 1, "clusters": 10, "balance": 1})
    one = example.scores(digits, np.zeros(200, int))
    assert one == pytest.approx({"accuracy": 0.1, "NMI": 0, "clusters": 1, "balance": 0.1})
    merged = example.scores(digits, digits // 2)
    # mutual information log 5, between entropies log 5 and log 10
    assert merged == pytest.approx(
        {"accuracy": 0.5, "NMI": 2 * math.log(5) / math.log(50), "clusters": 5, "balance": 0.5}
    )
    few = example.scores(digits, np.where(np.arange(200) == 0, 1, 0))
    assert few["clusters"] == 1


def test_where_collapse_ends(example):
    def rows(alpha, clusters):
        return [{"alpha": alpha, "weight": w, "clusters": n} for w, ns in clusters.items() for n in ns]

    runs = [{"alpha": "none", "weight": 0, "clusters": 1}]
    runs += rows(1, {0.1: (10, 10), 0.2: (10, 9), 0.5: (10, 10), 1: (10, 10)}) + rows(2, {0.1: (10, 10), 0.2: (9, 10)})
    assert example.ends(runs) == {1: 0.5, 2: None}


def test_script(example, tmp_path, capsys):
    plan = example.PLAN._replace(hidden=8, epochs=1)
    example.main(["--seeds", "2", "--workers", "1", "--output", str(tmp_path)], plan=plan, weights=(0.1, 0.5))
    rows = example.harness.read_csv(tmp_path / "clustering.csv")
    assert len(rows) == 2 * (2 + 2 * len(example.ALPHAS))
    assert {row["alpha"] for row in rows} == {"none", *example.ALPHAS, "k-means"}
    assert (tmp_path / "clustering.png").stat().st_size > 10_000
    shown = capsys.readouterr().out
    assert "k-means" in shown
    assert "α = ∞" in shown
    with pytest.raises(SystemExit):
        example.main(["--arrays", "none"])


# The page


def cells(example, rows, key, measures):
    same = example.harness.groups(rows, example.Setting._fields)[key]
    values = [(example.harness.moments(same, name), example.DIGITS[name]) for name in measures]
    return [f"{mean:.{places}f} ± {deviation:.{places}f}" for (mean, deviation), places in values]


def tables(example, rows):
    """Return the page's tables, from the runs."""
    none, kmeans = tuple(example.NONE), tuple(example.KMEANS)
    keys = [none, *((alpha, weight) for weight in (0.1, 0.5) for alpha in example.ALPHAS), kmeans]
    first = ["| α | λ | accuracy | NMI | clusters used | balance |", "| --- | --- | --- | --- | --- | --- |"]
    for alpha, weight in keys:
        names = {none: ("–", "0"), kmeans: ("k-means", "–")}
        start = names.get((alpha, weight)) or (example.show(alpha), f"{weight:g}")
        first.append("| " + " | ".join([*start, *cells(example, rows, (alpha, weight), example.MEASURES)]) + " |")
    weights = example.WEIGHTS_FULL
    second = ["| α | " + " | ".join(f"λ = {w:g}" for w in weights) + " | all used from λ |"]
    second.append("| --- |" + " --- |" * (len(weights) + 1))
    for alpha, end in example.ends(rows).items():
        line = [cells(example, rows, (alpha, weight), ["accuracy"])[0] for weight in weights]
        line = [cell.replace("0.", ".") for cell in line]
        second.append("| " + " | ".join([example.show(alpha), *line, "–" if end is None else f"{end:g}"]) + " |")
    return ["\n".join(first), "\n".join(second)]


def facts(example, rows):
    """Return the numbers of the page's prose, from the runs."""
    accuracy, clusters, balance = (example.means(rows, name) for name in ("accuracy", "clusters", "balance"))

    def listed(values, places):
        return ", ".join(f"{value:.{places}f} at α = {example.show(alpha)}" for alpha, value in values.items())

    best = {alpha: max(example.WEIGHTS_FULL, key=lambda w: accuracy[alpha, w]) for alpha in example.ALPHAS}
    reached = [f"{accuracy[a, w]:.3f} at α = {example.show(a)} (λ = {w:g})" for a, w in best.items()]
    good = {a: sum(accuracy[a, w] >= 0.9 for w in example.WEIGHTS_FULL) for a in example.ALPHAS}
    plateau = min(accuracy[alpha, w] for alpha in (1, 2) for w in example.WEIGHTS_FULL if w >= 0.2)
    return {
        "none": f"{clusters[example.NONE]:.1f} clusters, accuracy {accuracy[example.NONE]:.2f}",
        "used": listed({a: clusters[a, 0.1] for a in example.ALPHAS}, 1),
        "balance": f"{balance[0.5, 0.1]:.2f} at λ = 0.1",
        "best": ", ".join(reached),
        "kmeans": f"{accuracy[example.KMEANS]:.3f} of k-means",
        "good": listed(good, 0),
        "plateau": f"at least {plateau:.2f} at α = 1 and 2",
        "even": f"accuracy {accuracy[math.inf, 0.5]:.2f} at a balance of {balance[math.inf, 0.5]:.2f}",
        "strong": f"from {accuracy[4, 1]:.2f} at λ = 1 to {accuracy[4, 2]:.2f} at λ = 2",
    }


def test_page_has_the_numbers(example, rows):
    text = PAGE.read_text(encoding="utf-8")
    for table in tables(example, rows):
        assert table in text
    words = " ".join(text.split())
    plan = example.PLAN
    setup = [
        rf"{plan.certainty:g}\,\text{{mean}}\,H_1(p(x))",
        f"64–{plan.hidden}–10",
        f"Adam at {plan.rate:g}, {plan.epochs} epochs of {1797 // plan.batch} batches of {plan.batch}",
        f"turns by up to {plan.turn:g}°, shifts by up to {plan.shift:g} pixels",
        f"scales by up to {100 * plan.scale:g} %",
        f"noise of standard deviation {plan.noise:g}",
    ]
    for fact in [*setup, *facts(example, rows).values()]:
        assert fact in words
    assert len(example.harness.groups(rows, ("seed",))) == 5
    code = (DOCS / "examples" / "clustering_network.py").read_text(encoding="utf-8")
    assert text.split("```python\n")[1].split("```")[0] in code


def test_page_says_what_the_runs_say(example, rows):
    accuracy, clusters = example.means(rows, "accuracy"), example.means(rows, "clusters")
    others = [alpha for alpha in example.ALPHAS if alpha != 1]
    runs = {(row["alpha"], row["weight"], row["seed"]): row for row in rows}

    def more(alpha, weight, measure):
        """In how many seeds an order has more than Shannon's."""
        return sum(runs[alpha, weight, s][measure] > runs[1, weight, s][measure] for s in range(5))

    for weight in (0.05, 0.1):
        assert all(clusters[alpha, weight] > clusters[1, weight] for alpha in others)
        assert more(0.5, weight, "clusters") == more(4, weight, "clusters") == more(4, weight, "accuracy") == 5
        assert more(2, weight, "clusters") >= 3 <= more(math.inf, weight, "clusters")
    missed = [sum(runs[a, w, s]["clusters"] < 10 for s in range(5)) for a in (0.5, 1, 2, 4) for w in (0.2, 0.3, 0.5)]
    assert max(missed) == 1
    assert more(0.5, 0.2, "accuracy") == 0
    assert min(accuracy[a, w] for a in (0.5, 1, 2, 4) for w in (0.5, 1, 2)) > accuracy[example.KMEANS]
    # with its own best weight, each finite order passes 0.9, and none another by more than its deviation over seeds
    best = {alpha: max(accuracy[alpha, w] for w in example.WEIGHTS_FULL) for alpha in example.ALPHAS}
    finite = [best[alpha] for alpha in example.ALPHAS if alpha < math.inf]
    assert min(finite) > 0.9
    assert max(finite) - best[1] < 0.02
    # the min-entropy with much weight: even use of clusters that mean nothing
    for weight in (0.5, 1, 2):
        assert clusters[math.inf, weight] > 9.5
        assert accuracy[math.inf, weight] < 0.5 < accuracy[example.KMEANS]
    # the order 1/2 keeps clusters that are small
    balance = example.means(rows, "balance")
    assert clusters[0.5, 0.1] > clusters[4, 0.1]
    assert balance[0.5, 0.1] < balance[4, 0.1]
