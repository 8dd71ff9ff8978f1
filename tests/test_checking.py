"""Within a block of ``checking`` values are read, and what is wrong in silence elsewhere is an error with its place."""

from __future__ import annotations

import doctest
import math
import re
import threading
from pathlib import Path

import every_call
import numpy as np
import pytest

import renyi_core as renyi
from renyi_core import _checking, regularizers

NAN, INF = math.nan, math.inf
PAGE = Path(__file__).parent.parent / "docs" / "got_nan.md"
PROBS = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]
LOGITS = [[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]]
JOINTS = ("conditional_entropy", "maximal_leakage", "mutual_information")
EYE = [[1.0, 0.0], [0.0, 1.0]]
Bonus, Divergence = regularizers.EntropyBonus, regularizers.DivergenceTerm


def changed(rows, at, value):
    """Return rows with another value in one place, or in a row."""
    found = np.asarray(rows)
    found[at] = value
    return found


NO_SUM, NEGATIVE = changed(PROBS, (1, 2), 0.6), changed(PROBS, (1, 0), -0.1)
NO_NUMBER, EMPTY = changed(LOGITS, (1, 1), NAN), changed(LOGITS, 1, -INF)
MASK = np.asarray([[True, True, False], [False, False, False]])
GONE = "1 of 6 entries is not, first at (1, 1): nan"
ROW = "in each row, an entry above -inf that is not masked: 1 of 2 rows does not, first at (1,): -inf"

# the function, its arguments, its options, and what the error says
CASES = [
    (renyi.entropy, [NO_SUM, 2], {}, "`probs` must sum to 1 within", "first at (1,): 0.9; divide by the sum, or"),
    (renyi.entropy, [NEGATIVE, 2], {}, "`probs` must be finite and >= 0: 1 of 6 entries is not, first at (1, 0): -0.1"),
    (renyi.hill_number, [LOGITS, 2], {}, "`probs`", "first at (0, 1): -1; of logits, call hill_number_from_logits"),
    (
        renyi.tsallis_entropy,
        [NO_SUM, 2],
        {"axis": 0},
        "along axis 0: 3 of 3 distributions do not, first at (0,): 0.6",
    ),
    (renyi.entropy_spectrum, [changed(PROBS, 1, 0.0), (1, 2)], {}, "`probs` must sum to 1", "first at (1,): 0;"),
    (renyi.entropy, [PROBS, np.asarray([1.0, NAN])], {}, "`alpha` must be >= 0", "first at (1,): nan"),
    (renyi.entropy, [PROBS, 2], {"where": MASK}, "`probs` must sum to 1", "first at (0,): 0.8"),
    (renyi.divergence, [PROBS, NO_SUM, 2], {}, "`q` must sum to 1", "(1,): 0.9", "call divergence_from_logits"),
    (renyi.cross_entropy, [NEGATIVE, PROBS, 2], {}, "`p` must be finite and >= 0", "(1, 0): -0.1"),
    (renyi.tsallis_divergence, [PROBS[1], NO_SUM, 2], {"axis": 1}, "`q` must sum to 1", "first at (1,): 0.9"),
    (renyi.jensen_divergence, [NO_SUM, 2], {}, "`probs` must sum to 1", "first at (1,): 0.9", "jensen_divergence_from"),
    (renyi.jensen_divergence, [PROBS, 2], {"weights": [2.0, -1.0]}, "`weights` must be >= 0 and finite", "(1,): -1"),
    (renyi.mutual_information, [PROBS, 2], {}, "`joint` must sum to 1 within", "axis (-2, -1)", "first at (): 2"),
    (renyi.entropy_from_logits, [NO_NUMBER, 2], {}, "`logits` must be below +inf and not NaN: " + GONE),
    (renyi.entropy_from_logits, [changed(LOGITS, (0, 2), INF), 2], {}, "`logits`", "first at (0, 2): inf"),
    (renyi.entropy_from_logits, [EMPTY, 2], {}, "`logits` must have an outcome " + ROW),
    (renyi.hill_number_from_logits, [LOGITS, 2], {"where": MASK}, "`logits` must have an outcome " + ROW),
    (renyi.entropy_from_logits, [PROBS, 2], {}, "`logits` must be logits: every row", "they go to entropy"),
    (renyi.divergence_from_logits, [LOGITS, PROBS, 2], {}, "`q_logits` must be logits", "they go to divergence"),
    (renyi.summary, [PROBS], {}, "`logits` must be logits", "they go to it as their logarithm"),
    (renyi.regularized_argmax, [NO_NUMBER, 2], {}, "`scores` must be below +inf and not NaN: " + GONE),
    (renyi.regularized_max, [EMPTY, 2, np.asarray(1.0)], {}, "`scores` must have an outcome"),
    (renyi.regularized_max, [LOGITS, 2, np.asarray([1.0, 0.0])], {}, "`temperature` must be > 0", "first at (1,): 0"),
    (renyi.entropy_from_counts, [np.asarray([4, -2, 1]), 2], {}, "`counts` must be >= 0 and finite", "(1,): -2"),
    (
        renyi.entropy_from_counts,
        [PROBS, 2],
        {},
        "`counts` must be whole: 6 of 6",
        "the error needs the number of draws",
    ),
    (regularizers.state_entropy_reward, [[[1.0, 2.5], [0.0, 0.0]], 2], {}, "`counts` must have an outcome", "(1,): 0"),
    (renyi.entropy_from_log_prob, [NO_NUMBER, 2], {}, "`log_prob` must be below +inf and not NaN: " + GONE),
    (renyi.kernel_entropy, [NO_NUMBER, 2], {}, "`samples` must be finite: " + GONE),
    (renyi.particle_entropy, [NO_NUMBER, 1], {"k": 1}, "`samples` must be finite: " + GONE),
    (
        renyi.particle_entropy,
        [[LOGITS], np.asarray([0.5, 2.0])],
        {"k": 1},
        "`k` + 1 = 2: 1 of 2",
        "first at (1,): 2",
    ),
    (renyi.tanh_gaussian_entropy, [[0.0, 1.0], [1.0, -1.0], 2], {}, "`scale` must be > 0 and finite", "(1,): -1"),
    (renyi.tanh_gaussian_entropy, [[0.0, NAN], [1.0, 1.0], 2], {}, "`mean` must be finite", "(1,): nan"),
    (renyi.uniform_entropy, [[0.0, 1.0], 2], {}, "`width` must be > 0 and finite: 1 of 2", "(0,): 0"),
    (renyi.gaussian_entropy, [[1.0, 0.0], 2], {"kind": "diagonal"}, "`covariance` must be > 0", "(1,): 0"),
    (renyi.value_and_grad(renyi.entropy), [NO_SUM, 2], {}, "`probs` must sum to 1", "call entropy_from_logits"),
    (
        renyi.grad(renyi.entropy),
        [PROBS, 2],
        {"cotangent": [1.0, NAN]},
        "`cotangent` must be finite: 1 of 2",
        "(1,): nan",
    ),
    (renyi.hvp(renyi.entropy_from_logits), [LOGITS, 2], {"vector": NO_NUMBER}, "`vector` must be finite: " + GONE),
    (Bonus(), [NO_NUMBER], {}, "`logits` must be below +inf and not NaN: " + GONE),
    (Bonus(), [PROBS], {}, "`logits` must be logits", "they go to the term with source='probs'"),
    (Bonus(source="probs"), [LOGITS], {}, "`probs` must be finite", "call the term with source='logits'"),
    (Bonus(), [LOGITS], {"sample_weight": np.asarray([3, -100])}, "`sample_weight`", "(1,): -100", "labels != -100"),
    (renyi.grad(Bonus() + Bonus()), [LOGITS], {"sample_weight": [1.0, NAN]}, "`sample_weight`", "first at (1,): nan"),
    (Bonus(), [LOGITS], {"alpha": np.asarray([1.0, -1.0])}, "`alpha` must be >= 0: 1 of 2", "(1,): -1"),
    (Divergence(), [LOGITS, NO_NUMBER], {}, "`reference` must be below +inf and not NaN: " + GONE),
    (Divergence(source="probs"), [PROBS, NO_SUM], {}, "`reference` must sum to 1", "first at (1,): 0.9"),
    (regularizers.BalanceTerm(), [EMPTY], {}, "`logits` must have an outcome " + ROW),
    (regularizers.GaussianEntropyBonus(), [NO_NUMBER], {}, "`log_std` must be finite: " + GONE),
    (regularizers.SampledEntropyBonus(), [NO_NUMBER], {}, "`log_prob` must be below +inf and not NaN: " + GONE),
    (regularizers.DiversityTerm(), [NO_NUMBER], {}, "`samples` must be finite: " + GONE),
]
# for libraries with eigenvalues
MATRICES = [
    (renyi.gaussian_entropy, [[[1.0, 0.5], [0.0, 1.0]], 2], {}, "`covariance` must be symmetric", "take (C + Cᵀ)/2"),
    (
        *(renyi.gaussian_divergence, [[0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], [0.0, 0.0], EYE, 2], {}),
        *("`covariance_p` must be positive definite: 1 of 1", "first at (): -1"),
    ),
    (
        renyi.gram_entropy,
        [[[0.0, 1.0], [1.0, 0.0]], 2],
        {},
        "`gram` must be at most √(K_ii K_jj)",
        "(0, 1): 1; of dist",
    ),
    (renyi.vendi_score, [[[1.0, NAN], [NAN, 1.0]], 2.0], {}, "`gram` must be finite", "first at (0, 1): nan"),
]


def label(case):
    f, *of = getattr(case[0], "args", None) or [case[0]]
    return f"{getattr(f, '__name__', f)} {'derivative ' * bool(of)}{case[3].partition(':')[0]}"


FIRST = {label(case).partition(" ")[0]: label(case) for case in CASES + MATRICES}.values()
"""One case of each function."""


def call(backend, case):
    """Call a function with its arrays made by the backend."""

    def array(x):
        return backend.asarray(x) if isinstance(x, np.ndarray | list) else x

    function, args, options, *_ = case
    return function(*map(array, args), **{name: array(x) for name, x in options.items()})


@pytest.mark.parametrize("case", CASES + MATRICES, ids=label)
def test_what_is_wrong_in_silence_raises_in_a_block(backend, case):
    if backend.library == "dask":
        if case in MATRICES:
            return
        import dask

        # an error in its place could be taken for values that cannot be read
        computed = []
        with renyi.checking(), dask.config.set(scheduler=lambda *_, **__: computed.append(case)):
            call(backend, case)
        assert not computed
        return
    if not backend.compiles:
        call(backend, case)
    elif label(case) not in FIRST:
        pytest.skip("operations compiled one by one, of what another call of the function says")
    with renyi.checking(), pytest.raises(ValueError, match=".*".join(map(re.escape, case[3:]))):
        call(backend, case)


def test_valid_calls_give_the_same_bits():
    arrays = every_call.inputs("plain")
    for name in ("probs", "other_probs"):
        arrays[name] /= arrays[name].sum(-1, keepdims=True)
    for label, call in every_call.calls(arrays, (0.5,)):
        with renyi.checking(tolerance=5.5 if label.startswith(JOINTS) else None):
            found = call()
        assert every_call.same(found, call()), label


def test_rows_that_do_not_count_may_hold_anything(backend):
    rows = backend.asarray(changed(LOGITS, 1, NAN))
    probs = backend.asarray(changed(PROBS, 1, NAN))
    weight = backend.asarray(np.asarray([2.0, 0.0]))
    with renyi.checking():
        for options in ({"sample_weight": weight}, {"sample_weight": weight > 0}, {"where": backend.asarray(MASK)}):
            Bonus()(rows, **options)
            renyi.grad(Divergence())(rows, rows, **options)
            regularizers.BalanceTerm()(rows, **options)
        Bonus(source="probs")(probs, sample_weight=weight)
        regularizers.SampledEntropyBonus()(rows, sample_weight=weight)
        renyi.jensen_divergence(probs, 2, weights=weight)
        # masked outcomes too, and one of many rows that looks like probabilities
        renyi.entropy(backend.asarray([[0.5, 0.5, NAN]]), 2, where=backend.asarray(np.asarray([True, True, False])))
        renyi.entropy_from_logits(backend.asarray([*PROBS, *LOGITS]), 2)
        renyi.entropy_from_logits(backend.asarray(EYE), 2)
        renyi.entropy_from_logits(backend.asarray([[1.0]]), 2)


def test_a_number_as_cotangent(backend):
    probs = backend.asarray(PROBS)
    with renyi.checking():
        renyi.grad(renyi.entropy)(probs, 2, cotangent=-0.1)
        with pytest.raises(ValueError, match="`cotangent` must be finite, got nan"):
            renyi.grad(renyi.entropy)(probs, 2, cotangent=NAN)


def test_tolerance():
    rounded = np.asarray([[0.333, 0.333, 0.333]])
    with renyi.checking(tolerance=1e-2):
        renyi.entropy(rounded, 2)
        with renyi.checking(), pytest.raises(ValueError, match=r"within 1\.5e-08"):
            renyi.entropy(rounded, 2)
        renyi.entropy(rounded, 2)
        with pytest.raises(ValueError, match=r"within 0\.01"):
            renyi.entropy(2 * rounded, 2)
        # it has a tolerance of its own
        assert renyi.check_probabilities(2 * rounded, tolerance=2) is not None
    with renyi.checking():
        renyi.entropy(np.asarray([1 / 3, 1 / 3, 1 / 3], np.float32), 2)
        renyi.entropy(np.asarray([0.333, 0.333, 0.333], np.float16), 2)
    for tolerance, error in (("no", TypeError), (-1, ValueError), (NAN, ValueError)):
        with pytest.raises(error, match="`tolerance`"), renyi.checking(tolerance=tolerance):
            pass
    assert not _checking.blocks


def test_nothing_is_read_outside_of_blocks(monkeypatch):
    monkeypatch.setattr(_checking, "_check_call", None)
    nan = np.asarray([NAN, 1.0])
    assert np.isnan(renyi.entropy_from_logits(nan, 2))
    with renyi.checking(), pytest.raises(TypeError, match="not callable"):
        renyi.entropy_from_logits(nan, 2)
    assert np.isnan(renyi.entropy_from_logits(nan, 2))
    assert not _checking.blocks


def test_a_block_holds_for_its_thread_alone():
    nan, found = np.asarray([NAN, 1.0]), []
    with renyi.checking():
        thread = threading.Thread(target=lambda: found.append(renyi.entropy_from_logits(nan, 2)))
        thread.start()
        thread.join()
        with pytest.raises(ValueError, match="`logits`"):
            renyi.entropy_from_logits(nan, 2)
        # an error leaves the block in force
        with pytest.raises(ValueError, match="`logits`"):
            renyi.entropy_from_logits(nan, 2)
    assert np.isnan(found[0])


def test_page():
    text = PAGE.read_text(encoding="utf-8").partition("## In torch")[0]
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    results = doctest.DocTestRunner().run(test)
    assert results.attempted > 30
    assert results.failed == 0
