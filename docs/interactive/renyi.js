"use strict";

/*
 * Rényi entropies, their gradient, escort distributions and regularized choices of a few outcomes, in the forms of
 * renyi_core: sums of terms of one sign without the largest entry, no threshold at α = 1 that changes the answer.
 * No DOM: tests/test_interactive.py runs this file alone and compares it with the library.
 *
 * A distribution is an array of weights ≥ 0, which need not sum to 1; an order is a number ≥ 0, Infinity included.
 * What makes no sense gives NaN.
 */
const Renyi = (() => {
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const expm1Ratio = (u) => (u === 0 ? 1 : Math.expm1(u) / u);
  const log1pRatio = (u) => (u === 0 ? 1 : Math.log1p(u) / u);

  /** e^α of e = p/max p and d = log e: above 2 a power would magnify the rounding of e. */
  const power = (e, d, alpha) => (alpha <= 2 ? e ** alpha : Math.exp(alpha * d));

  /** What all quantities of p are made of: d = log(p/max p), e = p/max p, w = e^α, sums, and c = H_∞ − H_α. */
  function stateOf(weights, alpha) {
    const peak = Math.max(...weights);
    if (!(peak > 0 && peak < Infinity && alpha >= 0) || weights.some((x) => !(x >= 0))) return null;
    const t = alpha - 1;
    const entries = weights.map((x) => {
      if (x / peak === 0) return { e: 0, d: -1, w: 0 };
      const below = (x - peak) / peak;
      const near = x / peak > 0.75;
      const e = near ? 1 + below : x / peak;
      const d = near ? Math.log1p(below) : Math.log(e);
      return { e, d, w: d === 0 ? 1 : power(e, d, alpha) };
    });
    const ties = entries.filter(({ d }) => d === 0).length;
    const rest = entries.filter(({ e, d }) => e > 0 && d !== 0);
    const r0 = sum(rest.map(({ e }) => e)) + (ties - 1);
    const ra = sum(rest.map(({ w }) => w)) + (ties - 1);
    const state = { alpha, t, entries, ties, total: 1 + r0, totalAlpha: 1 + ra, hInf: Math.log1p(r0), c: 0 };
    if (alpha === Infinity) return state;
    const mean = sum(rest.map((entry) => powerGap(entry, t))) / state.total;
    if (t === 0) state.c = mean;
    else if (t * mean > -0.5) state.c = mean * log1pRatio(t * mean);
    else state.c = (Math.log1p(ra) - state.hInf) / t;
    return state;
  }

  /** (e^α − e)/(α − 1) ≤ 0. */
  function powerGap({ e, d, w }, t) {
    const u = t * d;
    return Math.abs(u) > 1 ? (w - e) / t : e * d * expm1Ratio(u);
  }

  /** H_α = log(Σ p^α)/(1 − α), in nats. */
  function entropy(weights, alpha) {
    const state = stateOf(weights, alpha);
    if (state === null) return NaN;
    return alpha === 0 ? Math.log(state.totalAlpha) : state.hInf - state.c;
  }

  /** exp H_α, the effective number of outcomes. */
  function hillNumber(weights, alpha) {
    const state = stateOf(weights, alpha);
    if (state === null) return NaN;
    return alpha === 0 ? state.totalAlpha : state.total * Math.exp(-state.c);
  }

  const spectrum = (weights, alphas) => alphas.map((alpha) => entropy(weights, alpha));

  function normalized(weights) {
    const state = stateOf(weights, 1);
    return state === null ? weights.map(() => NaN) : state.entries.map(({ e }) => e / state.total);
  }

  /** The escort distribution p^α/Σp^α: uniform where p > 0 at α = 0, on the largest at α = ∞. */
  function escort(weights, alpha) {
    const state = stateOf(weights, alpha);
    if (state === null) return weights.map(() => NaN);
    if (alpha === Infinity) return state.entries.map(({ d }) => (d === 0 ? 1 / state.ties : 0));
    return state.entries.map(({ w }) => w / state.totalAlpha);
  }

  /** ∂H_α/∂z where p = softmax(z): (α/(α − 1))(p − q), q the escort distribution, without its cancellation. */
  function gradient(weights, alpha) {
    const state = stateOf(weights, alpha);
    if (state === null) return weights.map(() => NaN);
    const { t, entries, ties, total, totalAlpha, c } = state;
    if (alpha === 0) return entries.map(() => 0);
    const below = sum(entries.filter(({ d }) => d !== 0).map(({ e }) => e));
    return entries.map(({ e, d, w }) => {
      const p = e / total;
      if (e === 0) return 0;
      if (alpha === Infinity) return d === 0 ? (-p * below) / ties : p;
      const v = d - c;
      const u = t * v;
      return Math.abs(u) > 1 ? (alpha / t) * (p - w / totalAlpha) : -alpha * p * v * expm1Ratio(u);
    });
  }

  /** How p moves while its logits follow the gradient: p (g − Σ p g). */
  function motion(weights, alpha) {
    const p = normalized(weights);
    const g = gradient(weights, alpha);
    const mean = sum(p.map((x, i) => x * g[i]));
    return p.map((x, i) => x * (g[i] - mean));
  }

  /* Regularized choices: arg max over p of ⟨p, s⟩ + T·H_α(p).
   *
   * With gaps g = (max s − s)/T, a stationary p is on a curve of one number v: with c = exp(−t v)/α,
   * y = c g, w = (1 − t y)₊, e = w^{1/t} and p = e/Σe, where v = M = −log(1 − t Σ p y)/t. The objective
   * f = log Σe + M − h, h = Σ p g, rises with v where v < M. One such v for α ≤ 1; above there may be several, and
   * bounds of f on pieces of the curve find the largest.
   */
  const CELLS = 8;
  const HALVINGS = 10;
  const FINALISTS = 4;
  const COMPARISONS = 10;
  const EPS = Number.EPSILON;

  const logPower = (x, t) => (t * x > -0.5 ? x * log1pRatio(t * x) : Math.log(1 + t * x) / t);

  /** The point of the curve at v. */
  function pointAt({ gaps, alpha, t }, v) {
    const c = Math.exp(-t * v) / alpha;
    const entries = gaps.map((gap) => {
      const y = c * gap;
      const inside = gap < Infinity && -t * y > -1;
      return inside ? { gap, y, w: 1 - t * y, e: Math.exp(logPower(-y, t)) } : { gap: 0, y: 0, w: 1, e: 0 };
    });
    const total = 1 + (sum(entries.filter(({ gap }) => gap > 0).map(({ e }) => e)) + rest(entries));
    entries.forEach((entry) => (entry.p = entry.e / total));
    const mean = sum(entries.map(({ p, y }) => p * y));
    const r = sum(entries.map(({ p, w }) => p * w));
    const m = t * mean < 0.5 ? -logPower(-mean, t) : -Math.log(r) / t;
    const h = sum(entries.map(({ p, gap }) => p * gap));
    return { v, c, entries, r, m, h, f: Math.log(total) + m - h };
  }

  const rest = (entries) => sum(entries.filter(({ gap }) => gap === 0).map(({ e }) => e)) - 1;

  /** What f is not above between two points: by c₀ ≥ c ≥ c₁ and df/dh = α c/(1 − t c h) − 1, integrated from either. */
  function boundOf([left, right], { alpha, t }) {
    const low = positive(1 - t * left.c * left.h);
    const high = positive(1 - t * right.c * right.h);
    const width = right.h - left.h;
    const excess = Math.expm1((t / alpha) * (right.f - left.f + width) + Math.log(high / low));
    const slope = t * ((1 + excess) * left.c - right.c);
    const meet = slope > 0 ? Math.min(Math.max(excess / slope - left.h, 0), width) : 0;
    const drop = (left.c * t * meet) / low;
    const grown = (right.c * t * (width - meet)) / high;
    let bound = Math.max(left.f, right.f);
    if (drop < 1) bound = Math.max(bound, left.f - (alpha / t) * Math.log1p(-drop) - meet);
    bound = Math.max(bound, right.f + (width - meet) - (alpha / t) * Math.log1p(Math.max(grown, -0.5)));
    return preferred(bound, [left, right]);
  }

  const positive = (x) => (x > 0 ? x : 1);

  /** f, larger by its rounding where there is a maximum between the ends of the cell. */
  function preferred(f, [left, right]) {
    return f + (left.v <= left.m && right.v >= right.m ? 16 * EPS * (1 + Math.abs(f)) : 0);
  }

  /** v of the largest f. */
  function search(curve) {
    const at = (v) => pointAt(curve, v);
    const bisect = ([low, high], times) => {
      for (let k = 0; k < times; k++) {
        const middle = (low + high) / 2;
        if (middle < at(middle).m) low = middle;
        else high = middle;
      }
      return [low, high];
    };
    const middleOf = ([low, high]) => (low + high) / 2;
    if (curve.alpha <= 1) return middleOf(bisect([0, curve.span], 52));
    const best = (cells, count) =>
      cells
        .map((cell) => ({ cell, bound: boundOf(cell, curve) }))
        .sort((a, b) => b.bound - a.bound)
        .slice(0, count)
        .map(({ cell }) => cell);
    const points = Array.from({ length: CELLS + 1 }, (_, k) => at((curve.span * k) / CELLS));
    let cells = points.slice(1).map((point, k) => [points[k], point]);
    for (let k = 0; k < HALVINGS; k++) {
      const halves = cells.map(([left, right]) => [left, at((left.v + right.v) / 2), right]);
      cells = best([...halves.map(([a, b]) => [a, b]), ...halves.map(([, b, c]) => [b, c])], CELLS);
    }
    const finalists = best(cells, FINALISTS).map((cell) => {
      const ends = bisect([cell[0].v, cell[1].v], COMPARISONS);
      return { ends, f: preferred(at(middleOf(ends)).f, cell) };
    });
    const winner = finalists.reduce((first, next) => (next.f > first.f ? next : first));
    return middleOf(bisect(winner.ends, 30));
  }

  /** Equal on the largest scores, for the best number of them: α = ∞. */
  function flat(gaps) {
    const finite = gaps.filter((gap) => gap < Infinity).sort((a, b) => a - b);
    let best = -Infinity;
    let last = 0;
    let total = 0;
    finite.forEach((gap, k) => {
      total += gap;
      const objective = Math.log(k + 1) - total / (k + 1);
      if (objective > best) [best, last] = [objective, gap];
    });
    return gaps.map((gap) => (gap <= last ? 1 / finite.filter((other) => other <= last).length : 0));
  }

  /** arg max over p of ⟨p, scores⟩ + temperature·H_α(p); the limits at α = 0 and ∞. A score of −∞ gets 0. */
  function regularizedArgmax(scores, alpha, temperature) {
    const peak = Math.max(...scores);
    if (!(Math.abs(peak) < Infinity && alpha >= 0 && temperature > 0 && temperature < Infinity))
      return scores.map(() => NaN);
    const live = scores.filter((s) => s > -Infinity).length;
    const held = Math.max(alpha, 2 ** -982); // 1/α has room
    const cap = ((Number.MAX_VALUE / 64) * Math.min(held, 1)) / live; // beyond it c g would overflow
    const gaps = scores.map((s) =>
      s === -Infinity ? Infinity : Math.min((peak / 2 - s / 2) / (temperature * 0.5), cap),
    );
    if (alpha === Infinity) return flat(gaps);
    if (alpha === 0) {
      const ties = gaps.filter((gap) => gap === 0).length;
      return gaps.map((gap) => (gap === 0 ? 1 / ties : 0));
    }
    const curve = { gaps, alpha: held, t: alpha - 1, span: Math.log(live) * Math.min(1 / held, 1) };
    return pointAt(curve, curve.t === 0 ? 0 : search(curve)).entries.map(({ p }) => p);
  }

  return { entropy, hillNumber, spectrum, normalized, escort, gradient, motion, regularizedArgmax };
})();

if (typeof module === "object") module.exports = Renyi;
