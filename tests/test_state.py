"""The partial state is a commutative monoid: engines may cut a distribution anywhere and merge in any order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renyi_core._kernels.sources import center
from renyi_core._kernels.state import Order, empty_state, finish, merge, partial_state

# JAX would compile each operation for each number of entries
BACKENDS = ("numpy:agnostic", "strict", "torch")
ORDERS = (0.0, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-12, 1.1, 2.0, 20.0, math.inf)
LOGITS = st.one_of(st.floats(-30, 30), st.sampled_from([0.0, 3.0, -math.inf]))
PARTS = st.lists(st.lists(LOGITS, min_size=1, max_size=6), min_size=3, max_size=3)
EPS = float(np.finfo(np.float64).eps)


def order_of(backend, alpha, kind):
    if kind == "number":
        return Order(alpha, alpha - 1.0)
    finite = 2.0 if math.isinf(alpha) else alpha
    alpha_array, t = (backend.asarray([v], backend.dtypes[-1]) for v in (finite, finite - 1.0))
    return Order(alpha_array, t, backend.asarray(np.asarray([math.isinf(alpha)])))


def state_of(backend, values, order, source):
    x = backend.asarray(np.asarray(values, dtype=np.float64) if source == "logits" else np.exp(values))
    entries = center(x, order, source=source, where=None, axis=(-1,), xp=backend.xp)
    return partial_state(entries, order, axis=(-1,), xp=backend.xp, full=True)


def assert_same(backend, a, b, scale):
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    for name, x, y in zip(a._fields, a, b, strict=True):
        assert (x is None) == (y is None)
        if x is not None:
            got, want = backend.numpy(x), backend.numpy(y)
            np.testing.assert_allclose(got, want, rtol=scale * eps, atol=1e-300, err_msg=name)


@pytest.mark.parametrize("kind", ["number", "array"])
@pytest.mark.parametrize("source", ["logits", "probs"])
@given(parts=PARTS, alpha=st.sampled_from(ORDERS))
def test_monoid(backend, source, kind, parts, alpha):
    order = order_of(backend, alpha, kind)
    a, b, c = (state_of(backend, part, order, source) for part in parts)

    def merged(x, y):
        return merge(x, y, order, source=source, xp=backend.xp)

    empty = empty_state(a.peak, order, source=source, xp=backend.xp, full=True)
    assert_same(backend, merged(a, empty), a, 0)
    assert_same(backend, merged(empty, a), a, 0)
    assert_same(backend, merged(empty, empty), empty, 0)
    # the exponentials of differences as large as 60·α carry their rounding
    scale = 16 + 60 * (1 + min(alpha, 20))
    assert_same(backend, merged(a, b), merged(b, a), 4)
    assert_same(backend, merged(merged(a, b), c), merged(a, merged(b, c)), scale)
    whole = state_of(backend, [v for part in parts for v in part], order, source)
    assert_same(backend, merged(merged(a, b), c), whole, scale)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1 + 1e-12, 1.1, 2.0, math.inf])
def test_entropy_of_many_blocks(backend, alpha):
    order = Order(alpha, alpha - 1.0)
    values = np.random.default_rng(3).normal(size=200) * 3
    total = None
    for block in np.array_split(values, 40):
        state = state_of(backend, block, order, "logits")
        total = state if total is None else merge(total, state, order, source="logits", xp=backend.xp)
    whole = state_of(backend, values, order, "logits")
    got, want = (backend.numpy(finish(s, order, xp=backend.xp).h) for s in (total, whole))
    np.testing.assert_allclose(got, want, rtol=16 * EPS)


def test_no_entries_at_all_is_nan(backend):
    order = Order(2.0, 1.0)
    empty = empty_state(backend.asarray(np.zeros(3)), order, source="logits", xp=backend.xp)
    assert np.isnan(backend.numpy(finish(empty, order, xp=backend.xp).h)).all()
