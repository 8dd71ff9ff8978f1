"""The ratio of gamma functions in the entropy of samples, and its derivative, against 60 digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from renyi_core._kernels.gamma import gamma_ratio, gamma_ratio_slope
from renyi_core._kernels.state import Order

BACKENDS = ("numpy",)


@pytest.mark.parametrize("k", [1, 2, 3, 10, 400])
def test_gamma_ratio(backend, k):
    """What the order adds, log C_k, and its derivative in α, against 60 digits."""
    t = np.asarray([-1.0, -0.6, -1e-3, -1e-12, 0.0, 1e-12, 1e-6, 0.3, 0.5, 0.7, 0.999, k / 2, k - 0.5, k - 1e-9])
    for dtype in ("float32", "float64"):
        eps, values = float(np.finfo(dtype).eps), t.astype(dtype)
        values = values[values < k]
        order = Order(values + 1, values, np.zeros(values.shape, dtype=bool))
        got = [f(order, k, xp=np) for f in (gamma_ratio, gamma_ratio_slope)]
        with mpmath.workdps(60):
            exact = [mpmath.mpf(float(v)) for v in values]
            rise = [mpmath.loggamma(k - u) - mpmath.loggamma(k) for u in exact]
            want = [r / u if u else -mpmath.psi(0, k) for r, u in zip(rise, exact, strict=True)]
            slope = [
                -(mpmath.psi(0, k - u) * u + r) / u**2 if u else mpmath.psi(1, k) / 2
                for r, u in zip(rise, exact, strict=True)
            ]
        want, slope = np.asarray(want, dtype=float), np.asarray(slope, dtype=float)
        assert (np.abs(got[0] - want) <= 8 * eps * np.maximum(np.abs(want), 1)).all()
        assert (np.abs(got[1] - slope) <= 8 * eps * slope).all()
        if dtype == "float64":
            for u, w, s in zip(values.tolist(), want, slope, strict=True):
                static = Order(u + 1.0, u)
                assert abs(gamma_ratio(static, k, xp=np) - w) <= 8 * eps * max(abs(w), 1)
                assert abs(gamma_ratio_slope(static, k, xp=np) - s) <= 8 * eps * s
