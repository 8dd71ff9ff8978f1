"""Bias and spread of the estimators, by experiments with fixed seeds: Markdown tables on standard output.

    python benchmarks/estimators.py [--share 1] [--tables particles information] > benchmarks/results/NAME.md

``share`` is of the number of experiments, for a trial; ``tables`` are all by default. The bias is the mean of the
estimates less the exact value, ± the standard error of that mean; the deviation is that of one estimate. In nats.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

import renyi_core as renyi

OUTCOMES = 100
COUNTS_HEAD = "| α | draws | estimator | bias | deviation | mean standard error | infinite |\n|" + " --- |" * 7


def summary(estimates, exact):
    """Return the bias, with its error, and the deviation, as cells of a table."""
    deviation = estimates.std(ddof=1)
    error = deviation / math.sqrt(len(estimates))
    return f"{estimates.mean() - exact:+.4f} ± {error:.4f} | {deviation:.4f}"


def particles(share):
    print("## particle_entropy, standard Gaussians of d dimensions\n")
    print("| d | samples | k | " + " | ".join(f"α = {a}: bias | deviation" for a in (0.5, 1, 2)) + " |")
    print("|" + " --- |" * 9)
    alphas = np.asarray([[0.5], [1.0], [2.0]])
    for d in (1, 2, 5):
        exact = renyi.gaussian_entropy(np.eye(d)[None], alphas[:, 0])
        for n, repeats in ((100, 2000), (1000, 400)):
            rng = np.random.default_rng([1, d, n])
            sets = rng.normal(size=(1, max(10, round(repeats * share)), n, d))
            for k in (1, 3, 5):
                estimates = renyi.particle_entropy(sets, alphas, k=k)
                cells = [
                    summary(row, value) if alpha < k + 1 else "α = k + 1 | "
                    for row, value, alpha in zip(estimates, exact, alphas[:, 0], strict=True)
                ]
                print(f"| {d} | {n} | {k} | {' | '.join(cells)} |")


def information(share):
    print("\n## particle_mutual_information\n")
    print("| pairs | exact | samples | k | bias | deviation |\n|" + " --- |" * 6)
    for name, exact, draw in known_pairs():
        for n, repeats in ((100, 1000), (1000, 100)):
            x, y = draw(np.random.default_rng([4, n]), (max(10, round(repeats * share)), n, 1))
            for k in (1, 3, 5):
                estimates = renyi.particle_mutual_information(x, y, k=k)
                print(f"| {name} | {exact:.4f} | {n} | {k} | {summary(estimates, exact)} |")


def known_pairs():
    """Yield names, informations, and functions of a generator and a shape that draw pairs."""
    for rho in (0.0, 0.6, 0.9, 0.999):
        width = math.sqrt(1 - rho * rho)

        def gaussian(rng, shape, rho=rho, width=width):
            x = rng.normal(size=shape)
            return x, rho * x + width * rng.normal(size=shape)

        yield f"Gaussian, correlation {rho}", abs(math.log1p(-rho * rho)) / 2, gaussian

    def many(rng, shape):
        x = rng.normal(size=(*shape[:-1], 3))
        return x, 0.6 * x + 0.8 * rng.normal(size=x.shape)

    yield "Gaussian, 3 dimensions, each 0.6", -1.5 * math.log1p(-0.36), many

    def uniform(rng, shape):
        x = rng.random(shape)
        return x, x + rng.random(shape) / 2

    # the entropy of the trapezoid of x + z, less that of z, −log 2
    yield "uniform on (0, 1), and it plus one on (0, 1/2)", 0.25 + math.log(2), uniform


def counts(share):
    print(f"\n## entropy_from_counts, probabilities ∝ 1/rank of {OUTCOMES} outcomes\n")
    print(COUNTS_HEAD)
    p = 1 / np.arange(1.0, OUTCOMES + 1)
    p /= p.sum()
    repeats = max(10, round(20_000 * share))
    for alpha in (0.5, 1, 2, 3):
        exact = float(renyi.entropy(p, alpha))
        for draws in (50, 500):
            seen = np.random.default_rng([2, draws]).multinomial(draws, p, size=repeats)
            for estimator in ("plug-in", "bias-corrected", "unbiased")[: 3 if alpha >= 2 else 2]:
                value, error = renyi.entropy_from_counts(seen, alpha, estimator=estimator)
                finite = np.isfinite(value)
                cells = f"{summary(value[finite], exact)} | {error[finite].mean():.4f} | {(~finite).sum()} of {repeats}"
                print(f"| {alpha} | {draws} | {estimator} | {cells} |")


def log_prob(share):
    print("\n## entropy_from_log_prob, of samples whose log-densities are known\n")
    print("| density | α | exact | samples | bias | deviation |\n|" + " --- |" * 6)
    repeats = max(10, round(40_000 * share))
    for name, alphas in (("tanh of a Gaussian, mean 1, scale 1", (0.5, 1, 2)), ("standard Gaussian", (0.5, 1, 2))):
        squashed = name.startswith("tanh")
        for alpha in alphas:
            if squashed:
                exact = float(renyi.tanh_gaussian_entropy(np.ones(()), np.ones(()), alpha))
            else:
                exact = float(renyi.gaussian_entropy(np.ones((1, 1)), alpha))
            for n in (1, 4, 16, 64):
                noise = np.random.default_rng([3, n]).normal(size=(repeats, n))
                density = -noise * noise / 2 - math.log(2 * math.pi) / 2
                if squashed:
                    x = 1 + noise
                    density = density + 2 * (np.logaddexp(x, -x) - math.log(2))
                estimates = renyi.entropy_from_log_prob(density, alpha)
                print(f"| {name} | {alpha} | {exact:.4f} | {n} | {summary(estimates, exact)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--share", type=float, default=1.0)
    tables = {f.__name__: f for f in (particles, counts, log_prob, information)}
    parser.add_argument("--tables", nargs="*", choices=tables, default=list(tables))
    options = parser.parse_args()
    print("# Bias and spread of the estimators\n")
    print(f"benchmarks/estimators.py, fixed seeds, {time.strftime('%Y-%m-%d')}; in nats.")
    print("Bias ± its Monte-Carlo error, and the standard deviation of one estimate.\n")
    for name in options.tables:
        tables[name](options.share)


if __name__ == "__main__":
    main()
