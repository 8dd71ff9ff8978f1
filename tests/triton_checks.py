"""What must hold of the Triton kernels, on CPU tensors in Triton's interpreter and on a GPU alike.

A check takes the device. On the CPU there are fewer cases, unless RENYI_ALL_VARIANTS is in the environment. Not
collected by itself: test_triton.py and test_gpu_torch.py run them.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from unittest import mock

import numpy as np
import oracle
import torch

import renyi_core as renyi
from renyi_adapters.torch import _triton as kernels
from renyi_core._arrays import prepare
from renyi_core._kernels.state import State, merge
from renyi_training.torch import entropy_and_log_prob, gradient_in_place_of_the_input, linear_entropy

ALL = "RENYI_ALL_VARIANTS" in os.environ
ORDERS = (*oracle.ORDERS[1:], 0.25, 4.0)
FEW = (0.5, 0.8, 1.0, 1.1, 1.7, 2.0, 3.0, 4.0, math.inf)
LARGE = 10_000
SOME = ("nearly flat", "wide", "masked", "tied and certain")
LAYOUTS = ("short", "long", "split")
EPS32 = 2.0**-23


def order_of(x, alpha):
    problem = prepare(x, alpha, name="logits", axis=-1, where=None, base=None, keepdims=False)
    return problem.order


def processors(count):
    """Kernels as for a device with so many multiprocessors, which decides how rows are cut."""
    return mock.patch.object(kernels, "processors", return_value=count)


@functools.cache
def table(dtype, layout):
    """The rows of the accuracy grid in one matrix: whole in a tile, or scattered over several tiles of a long row."""
    rng = np.random.default_rng(3)
    rows = [doors["logits"] for doors in oracle.rows(dtype).values() if doors["logits"].size < LARGE]
    if layout != "short":
        rows = [oracle.rows(dtype)[name]["logits"] for name in SOME]
    width = 304 if layout == "short" else 4101
    matrix = np.full((len(rows), width), -np.inf, dtype=dtype)
    places = []
    for k, row in enumerate(rows):
        place = np.sort(rng.choice(width, size=row.size, replace=False)) if layout != "short" else np.arange(row.size)
        matrix[k, place] = row
        places.append(place)
    return rows, matrix, places


def check_grid(device, dtype, layout):
    """Values and gradients within 16 eps of 80-digit arithmetic, at every order."""
    eps = float(np.finfo(dtype).eps)
    rows, matrix, places = table(dtype, layout)
    x = torch.from_numpy(matrix).to(device)
    worst = (0.0,)
    orders = ORDERS if layout == "short" else FEW
    if device == "cpu" and not ALL:
        # the interpreter is slow: each class of orders once
        orders = {"short": FEW[::2], "long": FEW[1::4], "split": FEW[3::4]}[layout]
        # of the same code: in float64 every other one
        orders = orders[:: 2 if dtype == "float64" else 1]
    with processors(1 if layout != "split" else 40):
        for alpha in orders:
            order = order_of(x, alpha)
            values, state = kernels.values_and_state(x, [order], full=True)
            lean, _ = kernels.values_and_state(x, [order])
            sums = [kernels.with_s(order, full=True)]
            gradient = kernels.gradient_of_states(x, state, [order], None, sums=sums).cpu().numpy()
            for k, row in enumerate(rows):
                exact = oracle.exact(row, alpha, "logits")
                errors = (
                    oracle.error(values[0, k].item(), exact.entropy, eps),
                    oracle.error(lean[0, k].item(), exact.entropy, eps),
                    oracle.error(gradient[k, places[k]], exact.gradient, eps),
                )
                worst = max(worst, (max(errors), errors, alpha, k))
            masked = np.isneginf(matrix)
            assert (gradient[masked] == 0).all()
    assert worst[0] <= 16, worst
    return worst


def check_half(device, dtype):
    """16-bit logits: the value has float32's digits; the gradient a rounding, and what two sums lose of c."""
    kind = getattr(torch, dtype)
    eps = torch.finfo(kind).eps
    rng = np.random.default_rng(5)
    for width in (200, 1500):
        rows = np.stack([rng.normal(size=width) * 3, rng.normal(size=width) * 1e-4, np.round(rng.normal(size=width))])
        x = torch.from_numpy(rows).to(kind).to(device)
        exact_rows = x.double().cpu().numpy()
        for alpha in FEW if device != "cpu" or ALL else FEW[dtype == "float16" :: 3]:
            leaf = x.clone().requires_grad_()
            order = order_of(x, alpha)
            values, _ = kernels.values_and_state(x, [order])
            renyi.entropy_from_logits(leaf, alpha).sum().backward()
            got = leaf.grad.double().cpu().numpy()
            slope = 1.0 if alpha == math.inf else alpha / abs(alpha - 1) if abs(alpha - 1) >= 0.25 else 0.0
            for k, row in enumerate(exact_rows):
                exact = oracle.exact(row, alpha, "logits")
                assert oracle.error(values[0, k].item(), exact.entropy, EPS32) <= 16
                p = np.exp(row - row.max())
                # float16 runs out of exponents: its smallest numbers are as far apart as this
                bound = torch.finfo(kind).smallest_normal * eps * math.sqrt(width)
                bound += eps * np.linalg.norm(exact.gradient.high) + 16 * EPS32 * slope * np.linalg.norm(p / p.sum())
                assert np.linalg.norm(got[k] - exact.gradient.high) <= bound, (alpha, k)


def check_bad_rows(device, width):
    """NaN and +inf stay in their rows, and rows without an entry of weight are NaN."""
    x = torch.zeros(6, width, device=device)
    x[0, 3] = math.nan
    x[1, 5] = math.inf
    x[2] = -math.inf
    x[3, 1:] = -math.inf
    x[4] = math.nan
    x[5, -2:] = -math.inf
    counts = (1, 40) if width > 1000 else (1,)
    for k, count in enumerate(counts):
        with processors(count):
            orders = FEW if width < 1000 else FEW[1::3]
            for alpha in orders if device != "cpu" or ALL else orders[k::2]:
                value, gradient = renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha)
                assert value.isnan().tolist() == [True, True, True, False, True, False], alpha
                assert gradient[[0, 1, 2, 4]].isnan().all()
                assert value[3] == 0
                assert (gradient[3] == 0).all()
                assert abs(value[5].item() - math.log(width - 2)) <= 16 * EPS32 * math.log(width)
                assert (gradient[5, -2:] == 0).all()
                # nor have those rows a gradient if they do not count, or at what is masked
                counts = ~value.isnan()
                gradient = renyi.grad(renyi.entropy_from_logits)(x, alpha, cotangent=counts.float())
                assert gradient.isfinite().all()
                assert not gradient[~counts].any()
                mask = counts[:, None] & (torch.arange(width, device=device) > 0)
                assert not renyi.grad(renyi.entropy_from_logits)(x, alpha, where=mask)[~counts].any()
                leaf = x.clone().requires_grad_()
                found = entropy_and_log_prob(leaf, alpha, torch.full((6,), 3, device=device))
                sum(torch.where(counts, part, 0.0).sum() for part in found).backward()
                assert leaf.grad.isfinite().all()
                assert not leaf.grad[~counts].any()


def views(device):
    """Logits in every kind of strides, with their axis."""
    base = torch.randn(2, 3, 1203, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(device)
    yield base, -1
    yield base[:, :, 3:1200], -1
    yield base[::2, 1:], -1
    yield base[:, :, ::2], -1
    yield base[..., 0], 0
    yield base[:, 1:].transpose(1, 2), 1
    yield base.transpose(1, 2).contiguous(), 1
    yield base, (0, -1)
    yield base[:, :1].expand(2, 3, 1203), -1
    yield base[0, 0], 0
    yield -base.abs() - 50, -1
    # shifted to an address for wide loads, a row ends one tile later
    yield torch.randn(3, 1022, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(device), -1


def masks_of(x, axis):
    yield None
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)).to(x.device) < 0.7
    yield mask
    if axis == -1 and x.ndim > 1:
        yield mask[:, :1]
        yield mask[0, 0]


def check_strides_and_masks(device):
    for turn, (x, axis) in enumerate(views(device)):
        for k, where in enumerate(masks_of(x, axis)):
            if device == "cpu" and not ALL and (turn + k) % 2:
                continue
            alpha = (0.5, 1.1, 1.0, 1.7)[k]
            leaf = x.detach().requires_grad_()
            with renyi.agnostic_only():
                want = renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha, axis=axis, where=where)
            value = renyi.entropy_from_logits(leaf, alpha, axis=axis, where=where)
            torch.testing.assert_close(value.detach(), want[0], rtol=1e-12, atol=0, equal_nan=True)
            value.sum().backward()
            torch.testing.assert_close(leaf.grad, want[1], rtol=1e-11, atol=1e-15, equal_nan=True)


def check_shards(device):
    """States of two shards, merged by the core, give each shard its part of the gradient."""
    x = torch.randn(3, 2500, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(device)
    x[0, :1400] = -math.inf
    parts = x[:, :1400], x[:, 1400:]
    scale = torch.arange(3.0, dtype=torch.float64, device=device)[:, None]
    for alpha in (0.5, 1.0, 1.1, 1.7):
        order = order_of(x, alpha)
        a, b = (kernels.state_of(part, order, full=True) for part in parts)
        assert all(field.shape == (3, 1) for field in a if field is not None)
        state = merge(State(*a), State(*b), order, source="logits", xp=torch)
        got = torch.cat([kernels.gradient_of_state(part, state, scale, order) for part in parts], dim=-1)
        want = renyi.grad(renyi.entropy_from_logits)(x, alpha, cotangent=scale[:, 0])
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-16)
        out = parts[1].clone()
        assert kernels.gradient_of_state(out, state, 2.0, order, out=out) is out
        torch.testing.assert_close(out * scale / 2, want[:, 1400:], rtol=1e-12, atol=1e-16)


@contextlib.contextmanager
def counted():
    """Counts the calls of the kernels: the array-API code would pass every check in their place."""
    forward, backward = kernels.values_and_state, kernels.gradient_of_states
    with (
        mock.patch.object(kernels, "values_and_state", side_effect=forward) as first,
        mock.patch.object(kernels, "gradient_of_states", side_effect=backward) as second,
    ):
        yield first, second


def check_autograd(device):
    """Backward uses the state of forward; derivatives of higher order hold; the gradient can replace the logits."""
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(device)
    for alpha in (0.5, 1.1, math.inf):
        both = (renyi.entropy_from_logits, renyi.hill_number_from_logits)
        for f in both if device != "cpu" or ALL else both[alpha == 1.1 :][:1]:
            call = lambda x, f=f, alpha=alpha: f(x, alpha)  # noqa: E731
            leaf = x.clone().requires_grad_()
            assert torch.autograd.gradcheck(call, leaf, check_forward_ad=True, check_batched_grad=True)
            if alpha != math.inf:
                assert torch.autograd.gradgradcheck(call, leaf)
            with counted() as (forward, backward):
                call(leaf).sum().backward()
            assert (forward.call_count, backward.call_count) == (1, 1)
            assert all(call.return_value is not None for call in (forward, backward))
    for dtype in (torch.float32, torch.bfloat16):
        for shape in ((3, 10), (2, 5001)):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype).to(device)
            want = renyi.grad(renyi.entropy_from_logits)(x, 1.7)
            leaf = x.clone().requires_grad_()
            y = leaf * 1
            with gradient_in_place_of_the_input():
                value = renyi.entropy_from_logits(y, 1.7).sum()
            value.backward()
            torch.testing.assert_close(leaf.grad, want)
            torch.testing.assert_close(y.detach(), want)


def check_statistics(device):
    """All results and their gradients at once, against the plain formulas; more orders than a launch takes."""
    generator = torch.Generator().manual_seed(0)
    orders = (0.5, 1.0, 2.0, 1.7)
    for width in (7, 1501):
        x = torch.randn(2, 1, width, generator=generator, dtype=torch.float64).to(device)
        tokens = torch.randint(width, (2, 1), generator=generator).to(device)
        where = torch.rand(width, generator=generator).to(device) < 0.8
        where[0] = True
        weights = torch.randn(6, 2, 1, generator=generator, dtype=torch.float64).to(device)
        for mask in (None, where):
            for alpha in (orders, orders[:2], 1.7)[1 if device == "cpu" and mask is None and not ALL else 0 :]:
                leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
                found = entropy_and_log_prob(leaf, alpha, tokens, where=mask)
                z = other if mask is None else torch.where(mask, other, -math.inf)
                log_probs = torch.log_softmax(z, -1)
                alphas = alpha if isinstance(alpha, tuple) else (alpha,)
                with renyi.agnostic_only():
                    want = torch.stack([renyi.entropy_from_logits(other, a, where=mask) for a in alphas], -1)
                got = found.entropy if isinstance(alpha, tuple) else found.entropy[..., None]
                picked = log_probs.gather(-1, tokens[..., None])[..., 0]
                torch.testing.assert_close(got, want, rtol=1e-13, atol=0)
                torch.testing.assert_close(found.log_prob, picked, rtol=1e-13, atol=1e-15)
                torch.testing.assert_close(found.log_sum_exp, torch.logsumexp(z, -1), rtol=1e-13, atol=1e-15)
                alive = picked > -math.inf
                for mine, entropies, token, total, leaves in (
                    (True, got, found.log_prob, found.log_sum_exp, leaf),
                    (False, want, picked, torch.logsumexp(z, -1), other),
                ):
                    with counted() as (_, backward):
                        loss = (entropies.movedim(-1, 0) * weights[: len(alphas)]).sum()
                        loss = loss + (token[alive] * weights[4][alive]).sum() + (total * weights[5]).sum()
                        loss.backward()
                    assert backward.call_count == (-(-len(alphas) // 3) if mine else 0)
                    assert leaves.grad is not None
                torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-10, atol=1e-14)


def check_head(device):
    """A linear head, whose tiles pass through the kernels, next to its logits by the array-API code."""
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(device) for shape in ((9, 6), (700, 6), (700,))
    )
    tokens = torch.arange(9, device=device)
    for alpha, chunk in ((1.0, 2), (1.7, 4), (math.inf, 20)):
        ours, direct = ([part.clone().requires_grad_() for part in (hidden, weight, bias)] for _ in range(2))
        with mock.patch.object(kernels, "gradient_of_state", wraps=kernels.gradient_of_state) as used:
            found = linear_entropy(ours[0], ours[1], alpha, bias=ours[2], tokens=tokens, chunk=chunk)
            (found.entropy.sum() + found.log_prob.sum()).backward()
        assert used.called
        logits = direct[0] @ direct[1].T + direct[2]
        with renyi.agnostic_only():
            value = renyi.entropy_from_logits(logits, alpha)
        log_prob = torch.log_softmax(logits, -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        (value.sum() + log_prob.sum()).backward()
        torch.testing.assert_close(found.entropy, value, rtol=1e-11, atol=0)
        torch.testing.assert_close(found.log_prob, log_prob, rtol=1e-11, atol=0)
        for got, want in zip(ours, direct, strict=True):
            torch.testing.assert_close(got.grad, want.grad, rtol=1e-9, atol=1e-12)


CHECKS = {
    **{
        f"grid {d} {k}": functools.partial(check_grid, dtype=d, layout=k)
        for d in ("float32", "float64")
        for k in LAYOUTS
    },
    **{f"half {d}": functools.partial(check_half, dtype=d) for d in ("float16", "bfloat16")},
    **{f"bad rows {n}": functools.partial(check_bad_rows, width=n) for n in (33, 4200)},
    "strides and masks": check_strides_and_masks,
    "shards": check_shards,
    "head": check_head,
    "autograd": check_autograd,
    "statistics": check_statistics,
}
