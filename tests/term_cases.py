"""The terms of a loss that are tested, and how they are compared."""

from __future__ import annotations

import numpy as np
import oracle_terms as oracle
import pytest

from renyi_core.regularizers import (
    BalanceTerm,
    ConfidencePenalty,
    DivergenceTerm,
    DiversityTerm,
    EntropyBonus,
    EntropyFloor,
    GaussianEntropyBonus,
    InformationTerm,
    JensenTerm,
    LabelSmoothing,
    SampledEntropyBonus,
)

TERMS = {
    "bonus": EntropyBonus(),
    "floor": EntropyFloor(target=oracle.SHARE, relative=True),
    "confidence": ConfidencePenalty(),
    "smoothing": LabelSmoothing(),
    "forward": DivergenceTerm(),
    "reverse": DivergenceTerm(direction="reverse"),
    "jensen": JensenTerm(mixture=oracle.MIXTURE),
    "gaussian": GaussianEntropyBonus(),
    "sampled": SampledEntropyBonus(),
    "balance": BalanceTerm(),
    "information": InformationTerm(),
}
PAIRS = oracle.PAIRS
BOUND = 32
"""Units in the last place: of the value, and norm-wise of the gradient."""
ALL = {**TERMS, "diversity": DiversityTerm(), "squashed": GaussianEntropyBonus(squashed=True)}
WITH_TWO = PAIRS | {"squashed"}


def of_order(name, alpha):
    if name == "information":
        return TERMS[name].replace(marginal_alpha=alpha, conditional_alpha=2.0 if alpha == 0.5 else 1.0)
    return TERMS[name].replace(alpha=alpha)


def skip_where_compiled(backend):
    if backend.compiles:
        pytest.skip("each call is a compilation: seconds for what the other libraries tell")


def close(backend, got, want, bound=BOUND):
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    error = np.max(np.abs(backend.numpy(got) - want)) / (np.max(np.abs(want)) or 1.0)
    assert error <= bound * eps, (error / eps, backend.numpy(got), want)


def differentiate(backend, f, *args):
    """The derivatives of a scalar by the library's own means."""
    if backend.library == "torch":
        args = [x.clone().requires_grad_() for x in args]
        f(*args).backward()
        return [x.grad for x in args]
    import jax

    return jax.grad(f, tuple(range(len(args))))(*args)


def arrays(backend, name, x=oracle.X, y=oracle.Y):
    return [backend.asarray(rows) for rows in ((x, y) if name in WITH_TWO else (x,))]
