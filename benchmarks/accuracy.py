"""How exact: errors of the Rényi entropy against 80 digits, beside the textbook formula and other packages.

    python benchmarks/accuracy.py [--csv accuracy.csv] [--markdown accuracy.md] [--figure accuracy.png]

The truth is that of the numbers given, after normalization, by mpmath: each method is judged by the very logits or
probabilities that it was called with. Errors are relative and in units of the dtype's eps; for gradients, the norm of
the error over the norm of the gradient. What is not finite is an error of ∞. Packages that are not installed are left
out, so that a run without them measures this library and the textbook formula alone.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import math
from pathlib import Path
from typing import Any, NamedTuple

import mpmath
import numpy as np
from accuracy_report import COLUMNS, draw, head, markdown, read_csv, write_csv

import renyi_core as renyi

DIGITS = 80
OURS = "renyi-core"
TEXTBOOK = "textbook"
BRANCH = "textbook with a branch"
NEAR = tuple(10.0**-k for k in range(1, 16))
WIDE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9, 1.1, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 300.0, 1000.0)
CERTAIN_ORDERS = (0.7, 1 - 1e-6, 1.0, 2.0)
GAPS = (5, 10, 20, 30, 40, 60, 80)


class Method(NamedTuple):
    """How one package is called: on "logits" or "probs", for which orders, in which dtypes."""

    name: str
    source: str
    call: Any
    shannon_only: bool = False
    near_only: bool = False
    dtypes: tuple[str, ...] = ("float64", "float32")


def softmax(logits):
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def textbook(logits, alpha):
    """The formula as people write it: softmax, power, sum, logarithm."""
    p = softmax(logits)
    if alpha == 1:
        return -(p * np.log(p)).sum()
    return np.log((p**alpha).sum()) / (1 - alpha)


def with_branch(logits, alpha):
    """The same, with Shannon's entropy within 1e-8 of 1: of all thresholds about the best in float64."""
    return textbook(logits, 1.0 if abs(alpha - 1) < 1e-8 else alpha)


def textbook_gradient(logits, alpha):
    p = softmax(logits)
    if alpha == 1:
        return -p * (np.log(p) - (p * np.log(p)).sum())
    power = p**alpha
    return alpha / (1 - alpha) * (power / power.sum() - p)


def our_gradient(logits, alpha):
    return renyi.grad(renyi.entropy_from_logits)(logits, alpha)


def methods():
    """Return the methods whose packages are installed."""
    found = [
        Method(f"{OURS}, logits", "logits", renyi.entropy_from_logits),
        Method(f"{OURS}, probabilities", "probs", renyi.entropy),
        Method(TEXTBOOK, "logits", textbook),
        Method(BRANCH, "logits", with_branch, near_only=True, dtypes=("float64",)),
    ]
    if importlib.util.find_spec("dit"):
        import dit

        def of_dit(probs, alpha):
            outcomes = [f"{i:03}" for i in range(len(probs))]
            return dit.other.renyi_entropy(dit.Distribution(outcomes, probs), alpha) * math.log(2)

        # it works in float64 whatever is given
        found.append(Method("dit", "probs", of_dit, dtypes=("float64",)))
    if importlib.util.find_spec("skbio"):
        from skbio.diversity.alpha import renyi as of_skbio

        found.append(Method("scikit-bio", "probs", lambda probs, alpha: of_skbio(probs, order=alpha)))
    if importlib.util.find_spec("scipy"):
        from scipy.stats import entropy

        found.append(Method("scipy", "probs", lambda probs, _: entropy(probs), shannon_only=True))
    if importlib.util.find_spec("pyitlib"):
        from pyitlib.discrete_random_variable import entropy_pmf

        def of_pyitlib(probs, _):
            return entropy_pmf(probs, base=math.e)

        found.append(Method("pyitlib", "probs", of_pyitlib, shannon_only=True, dtypes=("float64",)))
    if importlib.util.find_spec("torch"):
        import torch

        def of_torch(logits, _):
            return torch.distributions.Categorical(logits=torch.from_numpy(logits.copy())).entropy().numpy()

        found.append(Method("torch", "logits", of_torch, shannon_only=True))
    return found


@functools.cache
def distributions(dtype):
    """Return the distributions by name, each as logits and as probabilities of the dtype."""
    rng = np.random.default_rng(20261125)
    counts = np.diff(np.sort(rng.choice(np.arange(1, 2**20), size=99, replace=False)), prepend=0, append=2**20)
    logits = {
        "normal": rng.normal(size=100) * 3,
        "nearly uniform": rng.normal(size=100) * 1e-3,
        "peaked": np.concatenate([[9.0], rng.normal(size=99)]),
        "1/rank": -np.log(np.arange(1, 101)),
    }
    table = {name: {"logits": z.astype(dtype), "probs": softmax(z).astype(dtype)} for name, z in logits.items()}
    # multiples of 2⁻²⁰, which add up to 1 without a rounding
    table["exact sum"] = {"logits": np.log(counts / 2**20).astype(dtype), "probs": (counts / 2**20).astype(dtype)}
    return table


def certain(gap, dtype):
    """Return a distribution of one outcome and three others that are exp(−gap) as likely."""
    logits = np.asarray([0.0, -gap, -gap, -gap])
    return {"logits": logits.astype(dtype), "probs": softmax(logits).astype(dtype)}


@functools.cache
def _log_probs(key, source):
    row = [mpmath.mpf(float(x)) for x in np.frombuffer(key[0], dtype=key[1])]
    logs = row if source == "logits" else [mpmath.log(x) for x in row]
    top = max(logs)
    total = mpmath.log(mpmath.fsum(mpmath.exp(x - top) for x in logs)) + top
    return [x - total for x in logs]


@functools.cache
def _true_entropy(key, source, alpha):
    with mpmath.workdps(DIGITS):
        logs = _log_probs(key, source)
        if alpha == 1:
            return -mpmath.fsum(mpmath.exp(x) * x for x in logs)
        t = mpmath.mpf(alpha) - 1
        return -mpmath.log(mpmath.fsum(mpmath.exp(x * alpha) for x in logs)) / t


def true_entropy(row, source, alpha):
    return _true_entropy((row.tobytes(), row.dtype.str), source, float(alpha))


def true_gradient(row, alpha):
    """Return the gradient with respect to the logits, as mpmath's numbers."""
    with mpmath.workdps(DIGITS):
        logs = _log_probs((row.tobytes(), row.dtype.str), "logits")
        entropy = true_entropy(row, "logits", alpha)
        if alpha == 1:
            return [-mpmath.exp(x) * (x + entropy) for x in logs]
        t = mpmath.mpf(alpha) - 1
        return [alpha / t * (mpmath.exp(x) - mpmath.exp(x * alpha + t * entropy)) for x in logs]


def relative_error(got, want, dtype):
    """Return the norm of the error over the norm of what is wanted, in units of eps."""
    got = np.atleast_1d(np.asarray(got, dtype=np.float64))
    if not np.all(np.isfinite(got)):
        return math.inf
    with mpmath.workdps(DIGITS):
        want = want if isinstance(want, list) else [want]
        error = mpmath.norm([mpmath.mpf(float(g)) - w for g, w in zip(got, want, strict=True)])
        return float(error / mpmath.norm(want) / float(np.finfo(dtype).eps))


def near_orders(dtype, every=1):
    """Return the orders around 1, on both sides; those which float32 tells from 1 in its own dtype too."""
    steps = [step for step in NEAR if dtype == "float64" or step >= 1e-7][::every]
    return (*(1 + step for step in steps), *(1 - step for step in steps))


def measure(found, *, every=1):
    """Yield the rows of the result; ``every`` thins out the orders."""
    for dtype in ("float64", "float32"):
        for method in found:
            if dtype in method.dtypes:
                yield from _of_method(method, dtype, every)
        for name, gradient in ((f"{OURS}, logits", our_gradient), (TEXTBOOK, textbook_gradient)):
            yield from _of_gradient(name, gradient, dtype, every)


def _of_method(method, dtype, every):
    parts = {"near 1": near_orders(dtype, every), "wide": WIDE[::every], "at 1": (1.0,)}
    if method.near_only or method.shannon_only:
        part = "near 1" if method.near_only else "at 1"
        parts = {part: parts[part]}
    for name, doors in distributions(dtype).items():
        for part, orders in parts.items():
            for alpha in orders:
                yield _row(part, dtype, method, name, alpha, doors[method.source])
    for gap in () if method.near_only else GAPS:
        row = certain(gap, dtype)[method.source]
        for alpha in (1.0,) if method.shannon_only else CERTAIN_ORDERS:
            yield _row("nearly certain", dtype, method, f"exp(-{gap})", alpha, row)


def _of_gradient(name, gradient, dtype, every):
    orders = {"gradient near 1": near_orders(dtype, 2 * every), "gradient": WIDE[:: 2 * every]}
    for where, doors in distributions(dtype).items():
        row = doors["logits"]
        for part, some in orders.items():
            for alpha in some:
                with np.errstate(all="ignore"):
                    got = gradient(row, alpha)
                error = relative_error(got, true_gradient(row, alpha), dtype)
                yield _as_row(part, dtype, name, where, alpha, error)


def _row(part, dtype, method, name, alpha, row):
    with np.errstate(all="ignore"):
        got = method.call(row, alpha)
    error = relative_error(got, true_entropy(row, method.source, alpha), dtype)
    return _as_row(part, dtype, method.name, name, alpha, error)


def _as_row(part, dtype, method, distribution, alpha, error):
    row = (part, dtype, method, distribution, alpha, float(f"{error:.2g}"))
    return dict(zip(COLUMNS, row, strict=True))


def masked():
    """Return, for each way to write it in torch, entropy and gradient of logits of which one is −inf."""
    import torch

    forms = {
        "`renyi.entropy_from_logits(z, 2.0)`": lambda z: renyi.entropy_from_logits(z, 2.0),
        "`renyi.entropy_from_logits(z, 0.5)`": lambda z: renyi.entropy_from_logits(z, 0.5),
        "`renyi.entropy_from_logits(z, 1.0)`": lambda z: renyi.entropy_from_logits(z, 1.0),
        "`-z.softmax(-1).pow(2).sum(-1).log()`": lambda z: -z.softmax(-1).pow(2).sum(-1).log(),
        "`2 * z.softmax(-1).pow(0.5).sum(-1).log()`": lambda z: 2 * z.softmax(-1).pow(0.5).sum(-1).log(),
        "`-(z.softmax(-1) * z.log_softmax(-1)).sum(-1)`": lambda z: -(z.softmax(-1) * z.log_softmax(-1)).sum(-1),
        "`torch.special.entr(z.softmax(-1)).sum(-1)`": lambda z: torch.special.entr(z.softmax(-1)).sum(-1),
        "`torch.distributions.Categorical(logits=z).entropy()`": lambda z: torch.distributions.Categorical(
            logits=z, validate_args=False
        ).entropy(),
    }
    results = {}
    for name, form in forms.items():
        z = torch.tensor([1.0, 0.0, -math.inf], requires_grad=True)
        value = form(z)
        value.backward()
        results[name] = [*value[None].tolist(), *z.grad.tolist()]
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("csv", "markdown", "figure"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--draw", type=Path, help="draw the figure from this CSV file and measure nothing")
    options = parser.parse_args()
    if options.draw:
        rows = read_csv(options.draw)
    else:
        rows = list(measure(methods()))
        masks = masked() if importlib.util.find_spec("torch") else {}
        text = head() + markdown(rows, masks) + "\n"
        print(text)
        if options.markdown:
            options.markdown.write_text(text, encoding="utf-8")
        if options.csv:
            write_csv(rows, options.csv)
    if options.figure:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()
