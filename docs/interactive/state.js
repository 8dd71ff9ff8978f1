"use strict";

/* What the reader has set, how it is written in the address, and the names and scales of it. No DOM. */
if (typeof module === "object") globalThis.Renyi = require("./renyi.js");

const State = (() => {
  /* The slider of α: α = k/(STEPS − k), so that 0, 1/2, 1, 2 and ∞ are steps, and α and 1/α are mirror images. */
  const STEPS = 240;
  const STOPS = [0, 0.5, 1, 2, Infinity];
  const round = (x, digits) => Number(x.toFixed(digits));
  const orderOf = (step) => (step === STEPS ? Infinity : Number((step / (STEPS - step)).toPrecision(3)));
  const placeOf = (alpha) => (alpha === Infinity ? 1 : alpha / (1 + alpha));
  const stepOf = (alpha) => Math.round(STEPS * placeOf(alpha));

  /** An order as people write it, 1/2, inf and ∞ too; NaN if it is none. */
  function parseOrder(text) {
    const plain = text.trim().replace(",", ".");
    if (/^(inf|infinity|∞)$/i.test(plain)) return Infinity;
    if (plain === "½") return 0.5;
    const match = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?:\/(\d+\.?\d*))?$/i.exec(plain);
    const value = match === null ? NaN : Number(match[1] + (match[2] ?? "")) / Number(match[3] ?? 1);
    return Number.isFinite(value) ? value : NaN;
  }

  /** Why a text is no order, and what to type; nothing if it is one. */
  function whyNot(text) {
    if (!Number.isNaN(parseOrder(text))) return "";
    const plain = text.trim();
    const example = "Type a number such as 2, 0.5 or 1/2, or inf for ∞.";
    if (plain === "") return `The order is missing. ${example}`;
    if (/^[-−]\s*[\d.½∞i]/i.test(plain)) return `“${plain}” is negative, and orders are 0 or more.`;
    if (/\/0*\.?0*$/.test(plain)) return `“${plain}” divides by 0 or by nothing. ${example}`;
    if (/^\d+\.?\d*(e\+?\d+)?$/i.test(plain)) return `“${plain}” is too large for this page. Type inf for ∞.`;
    return `“${plain}” is no number. ${example}`;
  }

  const formatOrder = (alpha) => (alpha === Infinity ? "∞" : String(alpha));

  const NAMES = new Map([
    [0, "Hartley entropy"],
    [1, "Shannon entropy"],
    [2, "collision entropy"],
    [Infinity, "min-entropy"],
  ]);
  const nameOf = (alpha) => NAMES.get(alpha) ?? "Rényi entropy";

  function lookOf(alpha) {
    if (alpha === 0) return "counts what is possible, however rare";
    if (alpha < 1) return "looks more at the rare outcomes";
    if (alpha === 1) return "weighs each outcome by its own probability";
    return alpha === Infinity ? "sees the likeliest outcome alone" : "looks more at the common outcomes";
  }

  /* Distributions of n outcomes, as weights between 0 and 1 with three decimals, which the sliders have. */
  const bump = (x, center) => Math.exp(-(((x - center) / 0.11) ** 2));
  const PRESETS = {
    uniform: () => 1,
    peaked: (i) => (i === 0 ? 1 : 0.3 * 0.75 ** (i - 1)),
    tail: (i) => 1 / (i + 1) ** 1.5,
    modes: (i, n) => bump(i / (n - 1), 0.2) + 0.75 * bump(i / (n - 1), 0.8) + 0.02,
    sure: (i) => (i === 0 ? 1 : 0.005),
  };
  const OUTCOMES = [2, 16];

  function preset(name, n) {
    const raw = Array.from({ length: n }, (_, i) => PRESETS[name](i, n));
    const peak = Math.max(...raw);
    return raw.map((x) => round(x / peak, 3));
  }

  const OPTIONS = 6;
  const DEFAULTS = {
    alpha: 2,
    preset: "tail",
    weights: preset("tail", 8),
    triple: [0.7, 0.22, 0.08],
    scores: [2, 1.5, 1, 0, -1, -2],
    temperature: 1,
  };
  const fresh = () => structuredClone(DEFAULTS);
  const temperatureOf = (step) => Number((10 ** (step / 40)).toPrecision(3));
  const temperatureStepOf = (temperature) => Math.round(40 * Math.log10(temperature));
  const TEMPERATURES = [0.05, 20];

  /** What comes after # in the address. */
  function encode(state) {
    const distribution =
      state.preset === null ? `w=${state.weights.join()}` : `d=${state.preset}&n=${state.weights.length}`;
    const alpha = state.alpha === Infinity ? "inf" : state.alpha;
    return `a=${alpha}&${distribution}&p=${state.triple.join()}&s=${state.scores.join()}&t=${state.temperature}`;
  }

  /** The state of such a text; what cannot be read is as at the start. */
  function decode(text) {
    const state = fresh();
    const fields = new URLSearchParams(text.replace(/^#/, ""));
    const numbers = (key, low, high) => {
      const values = (fields.get(key) ?? "").split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
      return values.every((x) => x >= low && x <= high) ? values : [];
    };
    const alpha = parseOrder(fields.get("a") ?? "");
    if (!Number.isNaN(alpha)) state.alpha = alpha;

    const name = fields.get("d");
    const [n] = numbers("n", ...OUTCOMES);
    if (Object.hasOwn(PRESETS, name ?? "")) {
      state.preset = name;
      state.weights = preset(name, Number.isInteger(n) ? n : state.weights.length);
    }
    const weights = numbers("w", 0, 1);
    if (weights.length >= OUTCOMES[0] && weights.length <= OUTCOMES[1] && weights.some((w) => w > 0)) {
      state.preset = null;
      state.weights = weights.map((w) => round(w, 3));
      if (state.weights.every((w) => w === 0)) state.weights[0] = 0.001;
    }
    const triple = numbers("p", 0, 1);
    if (triple.length === 3 && triple.some((x) => x > 0)) state.triple = onGrid(Renyi.normalized(triple));
    const scores = numbers("s", -3, 3);
    if (scores.length === OPTIONS) state.scores = scores.map((s) => round(s, 2));
    const [temperature] = numbers("t", ...TEMPERATURES);
    if (temperature !== undefined) state.temperature = temperature;
    return state;
  }

  /** Three probabilities in thousandths, of sum 1. */
  function onGrid(triple) {
    const [a, b] = triple.map((x) => Math.round(1000 * x));
    const kept = Math.min(b, 1000 - a);
    return [a / 1000, kept / 1000, (1000 - a - kept) / 1000];
  }

  /** The triple with one of its probabilities set and the others scaled, or even where they were 0. */
  function withShare(triple, index, share) {
    const others = 1 - triple[index];
    const next = triple.map((x) => (1 - share) * (others > 0 ? x / others : 0.5));
    next[index] = share;
    return onGrid(next);
  }

  /** The nearest three probabilities to numbers of sum 1. */
  function ontoSimplex(triple) {
    const sorted = [...triple].sort((a, b) => b - a);
    let total = 0;
    let shift = 0;
    sorted.forEach((x, i) => {
      total += x;
      if (x - (total - 1) / (i + 1) > 0) shift = (total - 1) / (i + 1);
    });
    return triple.map((x) => Math.max(x - shift, 0));
  }

  return {
    STEPS,
    STOPS,
    OUTCOMES,
    OPTIONS,
    TEMPERATURES,
    PRESETS: Object.keys(PRESETS),
    orderOf,
    placeOf,
    stepOf,
    parseOrder,
    whyNot,
    formatOrder,
    nameOf,
    lookOf,
    preset,
    fresh,
    temperatureOf,
    temperatureStepOf,
    encode,
    decode,
    onGrid,
    withShare,
    ontoSimplex,
  };
})();

if (typeof module === "object") module.exports = State;
