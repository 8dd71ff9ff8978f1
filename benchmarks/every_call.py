"""Every public function next to its best plain formula: the time of a value, and with the gradient.

    python benchmarks/every_call.py [--library numpy] [--shapes 1000x1000,64x6] [--only 'entropy*'] [--csv FILE]
    python benchmarks/every_call.py --library torch --against ../older      # another checkout, in turns

Processor time of one thread, or wall time of more; the contestants alternate within a round. The times are medians, and
a ratio, formula ÷ ours, the median over the rounds of a round's own. Of several formulas for one thing the fastest is
taken. In torch the gradient is that of backward, in JAX all runs under ``jax.jit``, whose compilations take minutes; on
NumPy there are gradients where plain_formulas.py has them written out.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import functools
import importlib.metadata
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

NUMPY, OTHERS = ("numpy",), ("torch", "jax")
OPTIONS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
OPTIONS.add_argument("--library", choices=NUMPY + OTHERS, default="numpy")
OPTIONS.add_argument("--dtype", choices=("float32", "float64", "bfloat16"), default="float32")
OPTIONS.add_argument("--shapes", default="16x130000,1000x1000,100000x10,64x6,8x4", help="rows × outcomes")
OPTIONS.add_argument("--threads", type=int, default=1)
OPTIONS.add_argument("--rounds", type=int, default=7)
OPTIONS.add_argument("--only", default="*", help="patterns of names, with commas between them")
OPTIONS.add_argument("--csv", help="a file to write the table to as well")
OPTIONS.add_argument("--against", help="the folder of another checkout of renyi-core, to be measured in turns")
OPTIONS.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
options = OPTIONS.parse_args()
if options.dtype == "bfloat16" and options.library != "torch":
    OPTIONS.error("bfloat16 is for torch alone")
# before an array library is imported
os.environ["OMP_NUM_THREADS"] = os.environ["RENYI_NUM_THREADS"] = str(options.threads)
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
clock = time.process_time if options.threads == 1 else time.perf_counter

import numpy as np  # noqa: E402
import plain_formulas as plain  # noqa: E402

import renyi_core as renyi  # noqa: E402

LARGEST = 32e6
"""Bytes: temporaries above these are fresh pages of memory each time, and page faults are what is measured."""
TOLERANCE = {"float64": 1e-5, "float32": 1e-2, "bfloat16": 1e-1}


class Case(NamedTuple):
    """A function: its arrays, its orders (None: it takes none), and the formulas in its place.

    ``np`` is NumPy's, with gradients. ``wrt`` are the arguments that gradients are taken with respect to, for one row
    of the table each; ``more`` the arrays that the formulas alone take.
    """

    name: str
    arrays: str
    orders: tuple[Any, ...]
    formulas: Any
    np: Any = None
    wrt: tuple[tuple[int, ...], ...] = ()
    label: str = ""
    more: str = ""
    libraries: tuple[str, ...] = NUMPY + OTHERS
    options: dict[str, Any] = {}  # noqa: RUF012  a default that no one changes


ENTROPIES, PAIRS, CHOICES = (1.0, 2.0, 1.7, 0.9, math.inf), (1.0, 1.7), (1.0, 1.5, 2.0)
SPECTRUM = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0, math.inf)
ONE, BOTH = ((0,),), ((0,), (0, 1))
logits = plain.entropy_from_logits, plain.entropy_by_sums
probs = plain.entropy, lambda m, p, a: plain.of_logs(m, m.xp.log(p), a)
np_logits, np_probs, np_spectrum = plain.np_entropy_from_logits, plain.np_entropy, plain.np_spectrum_from_logits
pair_logits, np_pair_logits = (plain.pair_from_logits, plain.pair_by_sums), plain.np_pair_from_logits


def crossed(f):
    return functools.partial(f, crossed=True)


def relative(f, amari=False):
    return plain.tsallis(f, sign=-1, amari=amari)


def amari(f):
    return relative(f, amari=True)


def every(wrap, formulas):
    return tuple(map(wrap, formulas))


argmax, largest = ((f, functools.partial(f, solve=plain.entmax)) for f in (plain.argmax, plain.largest))
CASES = (
    Case("entropy_from_logits", "x", ENTROPIES, logits, np_logits, ONE),
    Case("entropy_from_logits", "x alphas", (None,), logits, np_logits, ONE, "per row"),
    Case("entropy_from_logits", "x", (1.0,), plain.categorical, None, ONE, "1, Categorical", libraries=OTHERS[:1]),
    Case("entropy", "p", ENTROPIES, probs, np_probs, ONE),
    Case("entropy", "p alphas", (None,), probs, np_probs, ONE, "per row"),
    Case("hill_number_from_logits", "x", PAIRS, every(plain.hill, logits), plain.hill(np_logits), ONE),
    Case("hill_number", "p", PAIRS, every(plain.hill, probs), plain.hill(np_probs), ONE),
    Case("tsallis_entropy_from_logits", "x", PAIRS, every(plain.tsallis, logits), plain.tsallis(np_logits), ONE),
    Case("tsallis_entropy", "p", PAIRS, every(plain.tsallis, probs), plain.tsallis(np_probs), ONE),
    Case("entropy_spectrum_from_logits", "x", (SPECTRUM,), None, np_spectrum, libraries=NUMPY),
    Case("entropy_spectrum_from_logits", "x", (SPECTRUM,), plain.spectrum_from_logits, None, ONE, libraries=OTHERS),
    Case("entropy_spectrum", "p", (SPECTRUM,), None, lambda _, p, a: np_spectrum(_, np.log(p), a), libraries=NUMPY),
    Case("entropy_spectrum", "p", (SPECTRUM,), plain.spectrum, None, ONE, libraries=OTHERS),
    Case("summary", "x", ((0.5, 1.0, 2.0, math.inf),), plain.summary),
    Case("divergence_from_logits", "x y", (1.0, 2.0, 1.7), pair_logits, np_pair_logits, BOTH),
    Case("divergence_from_logits", "x y", (1.0,), plain.kl_div, None, BOTH, "1, kl_div", libraries=OTHERS[:1]),
    Case("divergence", "p q", PAIRS, plain.pair, plain.np_pair, BOTH),
    Case("tsallis_divergence_from_logits", "x y", PAIRS, every(relative, pair_logits), relative(np_pair_logits), BOTH),
    Case("tsallis_divergence", "p q", PAIRS, relative(plain.pair), relative(plain.np_pair), BOTH),
    Case("alpha_divergence_from_logits", "x y", PAIRS, every(amari, pair_logits), amari(np_pair_logits), BOTH),
    Case("alpha_divergence", "p q", PAIRS, amari(plain.pair), amari(plain.np_pair), BOTH),
    Case("cross_entropy_from_logits", "x y", PAIRS, every(crossed, pair_logits), crossed(np_pair_logits), BOTH),
    Case("cross_entropy", "p q", PAIRS, crossed(plain.pair), crossed(plain.np_pair), BOTH),
    Case("jensen_divergence", "sets", (1.0, 2.0), plain.jensen, plain.np_jensen, ONE),
    Case("jensen_divergence_from_logits", "pairs", (1.0, 2.0), plain.jensen_from_logits, None, ONE),
    Case("conditional_entropy", "joint", (1.0, 2.0), plain.conditional_entropy, None, ONE),
    Case("mutual_information", "joint", (1.0, 2.0), plain.mutual_information, None, ONE),
    Case("maximal_leakage", "joint", (None,), plain.maximal_leakage, None, ONE),
    Case("regularized_argmax", "scores{}", CHOICES, argmax, plain.np_argmax, ONE, more="divisor{} c"),
    Case("regularized_max", "scores{}", CHOICES, largest, plain.np_largest, ONE, more="divisor{}"),
    Case("check_probabilities", "p", (None,), plain.check_probabilities),
    Case("entropy_from_counts", "counts", (1.0, 2.0), plain.entropy_from_counts),
    Case("entropy_from_log_prob", "x", (1.0, 2.0), plain.from_log_prob, plain.np_from_log_prob, ONE),
    Case("exponential_entropy", "widths", (1.7,), plain.of_scale, None, ONE),
    Case("laplace_entropy", "widths", (1.7,), lambda m, b, a: plain.of_scale(m, 2 * b, a), None, ONE),
    Case("uniform_entropy", "widths", (1.7,), lambda m, b, _a: m.xp.log(b), None, ONE),
    Case("beta_entropy", "shapes shapes", (1.7,), plain.beta_entropy, None, BOTH),
    Case("gamma_entropy", "shapes widths", (1.7,), plain.gamma_entropy, None, BOTH),
    Case("dirichlet_entropy", "shapes", (1.7,), plain.dirichlet_entropy, None, ONE),
    Case("truncated_gaussian_entropy", "mean scale low high", (2.0,), plain.truncated_gaussian, None, ((0, 1),)),
    Case("gaussian_entropy", "s", (2.0,), plain.gaussian_entropy, None, ONE),
    Case("gaussian_divergence", "u s v t", (1.0, 0.5), plain.gaussian_divergence, None, ((0, 1),)),
    Case("tanh_gaussian_entropy", "mean scale", (1.0, 2.0), plain.tanh_gaussian_entropy, None, ((0, 1),)),
    Case("gram_entropy", "k", (1.0, 2.0), plain.gram_entropy, None, ONE),
    Case("gram_joint_entropy", "k l", (2.0,), lambda m, x, y, a: plain.gram_entropy(m, x * y, a), None, BOTH),
    Case("gram_mutual_information", "k l", (2.0,), plain.gram_mutual_information, None, BOTH),
    Case("vendi_score", "k", (1.0,), plain.hill(plain.gram_entropy), None, ONE),
    Case("kernel_entropy", "points", (1.0, 2.0), plain.kernel_entropy, None, ONE),
    Case("particle_entropy", "points", (1.0, 0.5), plain.particle_entropy, None, ONE),
    Case("particle_mutual_information", "points partners", (None,), plain.particle_mutual_information),
    Case("particle_reward", "points", (0.5,), plain.particle_reward),
    Case("entropy_bounds_from_top", "top", (2.0,), plain.entropy_bounds_from_top, None, ONE, options={"n": 10**6}),
    Case("nucleus_mask", "x", (None,), plain.nucleus_mask, options={"mass": 0.9}),
    Case("high_entropy_mask", "x", (None,), plain.high_entropy_mask, options={"share": 0.2}),
)


def inputs(rows, columns):
    """Return the arrays, in float64."""
    rng, side = np.random.default_rng(0), max(2, math.isqrt(columns))
    x, y, c = (scale * rng.normal(size=(rows, columns)) for scale in (2, 2, 1))
    found = {"x": x, "y": y, "c": c, "p": plain.softmax(x), "q": plain.softmax(y), "widths": np.exp(c)}
    # the formulas have no value at α = 1
    alphas = np.linspace(0.6, 3, rows)
    found |= {"alphas": alphas + 0.1 * (np.abs(alphas - 1) < 0.05), "counts": rng.poisson(5, (rows, columns)) + 0.0}
    joint, (u, v) = rng.random((rows, side, side)), rng.normal(size=(2, rows, side))
    found |= {"joint": joint / joint.sum((-2, -1), keepdims=True), "u": u, "v": v}
    found |= {"mean": x.ravel()[:100_000], "scale": np.exp(c.ravel()[:100_000] / 4)}
    found |= {"sets": found["p"][: rows // 2 * 2].reshape(-1, 2, columns)}
    found |= {"points": rng.normal(size=(rows, max(8, side), 4))}
    found |= {"pairs": x[: rows // 2 * 2].reshape(-1, 2, columns), "shapes": 1 + found["widths"]}
    found |= {"low": found["mean"] - 1, "high": found["mean"] + 2}
    found |= {"top": np.log(np.sort(found["p"], -1)[:, columns * 2 // 3 :])}
    found |= {"partners": found["points"] + rng.normal(size=found["points"].shape)}
    for covariance, gram in ("sk", "tl"):
        matrix, points = rng.normal(size=(rows, side, side)), rng.normal(size=(rows, side, 4))
        found[covariance] = matrix @ matrix.mT / side + np.eye(side)
        found[gram] = (np.exp(plain.squares(points) / -2) + np.eye(side)) / 2
    for a in CHOICES:
        p = plain.np_argmax((), x, np.ones(rows), c, a)[0]
        # the scores of Tsallis' choice times these are those of Rényi's
        found[f"divisor{a}"] = np.ones(rows) if a == 1 else a / (p**a).sum(-1)
        found[f"scores{a}"] = x * found[f"divisor{a}"][:, None]
    return found


class Row(NamedTuple):
    """A row of the table: a case, an order, and what the gradient is taken with respect to."""

    case: Case
    order: Any
    wrt: tuple[int, ...]

    def names(self):
        """Return the function, the order, and what is measured."""
        a = self.order
        order = "" if a is None else f"{len(a)} orders" if isinstance(a, tuple) else f"{a:g}"
        arrays = self.case.arrays.format("").split()
        return [self.case.name, self.case.label or order, ", ".join(["value", *(f"∂{arrays[i]}" for i in self.wrt)])]

    def contestants(self, m, known):
        """Return ours and the formulas, as calls without arguments."""
        case, wrt = self.case, self.wrt
        function, a = getattr(renyi, case.name), () if self.order is None else (self.order,)
        if case.options:
            # both bounds as one array
            plain_function, both = functools.partial(function, **case.options), case.name == "entropy_bounds_from_top"
            function = (lambda *xs: m.xp.stack(plain_function(*xs), -1)) if both else plain_function
        arrays, more = ([known[x] for x in names.format(self.order).split()] for names in (case.arrays, case.more))
        formulas = case.formulas if isinstance(case.formulas, tuple) else (case.formulas,)
        formulas = [f and functools.partial(f, **case.options) for f in formulas]
        weights = more[-1] if wrt and "c" in case.more.split() else None
        if options.library == "numpy":
            cotangent = {} if weights is None else {"cotangent": weights}
            ours = functools.partial(renyi.value_and_grad(function, wrt) if wrt else function, *arrays, *a, **cotangent)
            every = [functools.partial(case.np, wrt)] if case.np else [functools.partial(f, m) for f in formulas]
            return ours, [functools.partial(f, *arrays, *more, *a) for f in every]
        if case.name == "check_probabilities":
            # it reads values, and is not for jax.jit
            return [lambda: function(*arrays), [lambda: formulas[0](m, *arrays)]]
        wide = m.wide if options.dtype == "bfloat16" else lambda x: x
        every = [lambda *xs: function(*xs[: len(arrays)], *a)]
        every += [lambda *xs, f=f: f(m, *map(wide, xs), *a) for f in formulas]
        ours, *every = (m.run(f, arrays, more, wrt, weights) for f in every)
        return ours, every

    def check(self, ours, theirs, known):
        """Exit unless a formula gives what we do, loosely: it need not be exact."""
        case, wrt = self.case, self.wrt
        if options.library == "numpy" and case.np:
            theirs = theirs[0], *(theirs[1 + i] for i in wrt)
        choice = case.name in {"regularized_argmax", "regularized_max"}
        for k, pair in enumerate(zip(leaves(ours), leaves(theirs), strict=True)):
            a, b = map(in_double, pair)
            name = case.arrays.split()[wrt[k - len(leaves(ours))]] if wrt and k >= len(leaves(ours)) - len(wrt) else ""
            if name.startswith("scores") and case.name == "regularized_argmax" and self.order != 1:
                # Tsallis' choice has another derivative
                continue
            if name in {"p", "q", "sets", "joint"}:
                # a formula that does not divide by the sum has another derivative along the probabilities
                x, axes = in_double(known[name]), (-2, -1) if name == "joint" else -1
                a, b = (g - (g * x).sum(axes, keepdims=True) / x.sum(axes, keepdims=True) for g in (a, b))
            if name in {"s", "t", "k", "l"}:
                a, b = ((g + g.mT) / 2 for g in (a, b))
            # where there are two choices that are locally the best, Tsallis' may be the other
            typical = np.median if choice else np.mean
            apart = typical(np.abs(a - b).reshape(len(a), -1).mean(-1)) / (np.abs(a).mean() + 1e-30)
            if not apart <= TOLERANCE[options.dtype]:
                sys.exit(f"{', '.join(self.names())}: the formula gives another result, by {apart:.1e}")


def leaves(found):
    return [leaf for part in found for leaf in leaves(part)] if isinstance(found, (tuple, list)) else [found]


def in_double(x):
    x = x.detach().double() if hasattr(x, "detach") else x
    return np.asarray(x, dtype=np.float64)


def load():
    """Return the library, the rows of its table, and a function that makes the arrays of a shape."""
    if options.library == "numpy":
        m = plain.NUMPY
        m.array = functools.partial(np.asarray, dtype=options.dtype)
    elif options.library == "torch":
        m = plain.of_torch(options.dtype)
        m.xp.set_num_threads(options.threads)
    else:
        os.environ["JAX_ENABLE_X64"] = str(options.dtype == "float64")
        m = plain.of_jax(options.dtype)
    plain.NUMPY.halvings = m.halvings = 50 if options.dtype == "float64" else 26
    rows = [
        Row(case, order, wrt)
        for case in CASES
        if options.library in case.libraries
        for order in case.orders
        for wrt in ((), *case.wrt)
        if not wrt or case.np or options.library != "numpy"
    ]
    convert = getattr(m, "convert", m.array)
    return m, rows, functools.lru_cache(1)(lambda *shape: {k: convert(x) for k, x in inputs(*shape).items()})


def seconds(call, calls=1):
    """Return the time of a call, after one that finds cold caches, and memory that JAX gives back late."""
    call()
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls


def older():
    """Start this script with another checkout, and return a function of (shape, row's number, calls) that it times."""
    folder = Path(options.against).resolve()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(folder / "adapters")])}
    arguments = [f"--{name}={getattr(options, name)}" for name in ("library", "dtype", "threads")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    process = subprocess.Popen([sys.executable, __file__, *arguments, "--serve"], **pipes)  # noqa: S603

    def timed(*request):
        print(json.dumps(request), file=process.stdin, flush=True)
        return float(process.stdout.readline())

    return timed


def serve():
    """Be that other process."""
    m, rows, arrays = load()
    known = None
    for line in sys.stdin:
        *key, calls = json.loads(line)
        if key != known:
            known, (ours, _) = key, rows[key[1]].contestants(m, arrays(*key[0]))
            ours()
        print(seconds(ours, calls), flush=True)


def measure(ours, formulas, other):
    """Return the medians of the times of ours, the fastest formula and the other build, and of ratios to ours."""
    formula = min(formulas, key=lambda f: min(seconds(f) for _ in range(3)))
    once = seconds(ours), seconds(formula)
    calls = [max(1, min(500, int(1e-3 / max(t, 1e-9)))) for t in once]
    contestants = [functools.partial(seconds, f, n) for f, n in zip((ours, formula), calls, strict=True)]
    contestants += [lambda: other(calls[0])] if other else []
    times = [[f() for f in contestants] for _ in range(options.rounds if max(once) < 0.3 else min(options.rounds, 3))]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    return medians, [statistics.median(row[k] / row[0] for row in times) for k in range(1, len(medians))]


def main():
    (m, rows, arrays), other = load(), older() if options.against else None
    ratios = ["formula ÷ ours", "older ÷ ours"][: 2 if other else 1]
    names = ["function", "order", "of", "shape", "µs", "formula µs", *["older µs"][: len(ratios) - 1], *ratios]
    print(f"renyi_core {renyi.__version__}, {options.library} {importlib.metadata.version(options.library)},")
    print(f"{options.dtype}, threads: {options.threads}, {options.rounds} rounds, {time.strftime('%Y-%m-%d')}.\n")
    print(f"| {' | '.join(names)} |\n|{' --- |' * len(names)}")
    table, found = [], []
    for text in options.shapes.split(","):
        shape = tuple(map(int, text.split("x")))
        if math.prod(shape) * {"float64": 8, "float32": 4, "bfloat16": 4}[options.dtype] > LARGEST:
            print(f"{text}: temporaries above 32 MB, whose page faults count", file=sys.stderr)
        for index, row in enumerate(rows):
            if not any(fnmatch.fnmatch(row.case.name, pattern) for pattern in options.only.split(",")):
                continue
            ours, formulas = row.contestants(m, arrays(*shape))
            result = ours()
            for formula in formulas:
                row.check(result, formula(), arrays(*shape))
            times, quotients = measure(ours, formulas, other and functools.partial(other, shape, index))
            found.append(quotients)
            table.append([*row.names(), text, *(f"{t * 1e6:.1f}" for t in times), *(f"{r:.2f}" for r in quotients)])
            print(f"| {' | '.join(table[-1])} |", flush=True)
    for name, column in zip(ratios, zip(*found, strict=True), strict=True):
        below = sum(ratio < 1 for ratio in column)
        print(f"\n{name}: median {statistics.median(column):.2f}, below 1 in {below} of {len(column)}")
    if options.csv:
        with Path(options.csv).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([names, *table])


if __name__ == "__main__":
    serve() if options.serve else main()
