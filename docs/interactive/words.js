"use strict";

/* Numbers and pictures in words. No DOM. */
if (typeof module === "object")
  Object.assign(globalThis, { Renyi: require("./renyi.js"), State: require("./state.js") });

const Words = (() => {
  const number = (x, digits = 3) => x.toFixed(digits).replaceAll("-", "−");
  const small = (x) => (x !== 0 && Math.abs(x) < 0.0005 ? x.toExponential(1).replaceAll("-", "−") : number(x));
  const percent = (x) => (x > 0 && x < 0.0005 ? "under 0.1 %" : `${number(100 * x, 1)} %`);

  /** The entropies of p at an order, and over all of them. */
  function spectrum(p, alpha) {
    const [first, now, last] = [0, alpha, Infinity].map((order) => Renyi.hillNumber(p, order));
    const all =
      first - last < 0.005
        ? "All orders agree."
        : `Over all orders it is from ${number(first, 0)} down to ${number(last, 2)}.`;
    const entropy = number(Renyi.entropy(p, alpha));
    const order = `Order ${State.formatOrder(alpha)} ${State.lookOf(alpha)}`;
    return `${order}: ${entropy} nats, as uncertain as ${number(now, 2)} equally likely outcomes. ${all}`;
  }

  /** The shares of the likeliest and the rarest outcome in p and its escort distribution q. */
  function escort(p, q) {
    const possible = p.map((_, i) => i).filter((i) => p[i] > 0);
    const [common, rare] = ends(possible, p);
    if (p[common] - p[rare] < 1e-9) return "All possible outcomes are alike: q is p at every order.";
    const both = (i) => [p, q].map((row) => percent(row[i]));
    const [[inP, inQ], [rareInP, rareInQ]] = [both(common), both(rare)];
    return (
      `The likeliest outcome, ${common + 1}, has ${inP} of p and ${inQ} of q; ` +
      `the rarest, ${rare + 1}, ${rareInP} and ${rareInQ}.`
    );
  }

  /** Which of the indices has the largest value, and which the smallest. */
  function ends(indices, values) {
    const order = [...indices].sort((a, b) => values[b] - values[a]);
    return [order[0], order.at(-1)];
  }

  /** What the gradient with respect to the logits does. */
  function push(p, g, alpha, name) {
    if (p.filter((x) => x > 0).length === 1) return "One outcome is certain: what has probability 0 stays out.";
    if (alpha === 0) return "Order 0 counts outcomes: no small change of p moves it.";
    if (Math.max(...g.map(Math.abs)) < 1e-12) return "All possible outcomes are alike: nothing is left to gain.";
    const [highest, lowest] = ends(p.keys(), g);
    return `Presses most on ${name(lowest)} (${small(g[lowest])}), lifts most ${name(highest)} (+${small(g[highest])}).`;
  }

  /** What a regularized choice leaves out, and what it gets. */
  function choice(p, scores, alpha) {
    const zeros = p.filter((x) => x === 0).length;
    const out = `${zeros} of ${p.length} options ${zeros === 1 ? "has" : "have"} exactly 0`;
    const score = p.reduce((total, x, i) => total + x * scores[i], 0);
    const hill = number(Renyi.hillNumber(p, alpha), 2);
    const left = zeros === 0 ? "No option is left out" : out;
    return `${left}. Expected score ${number(score, 2)}; ${hill} options in effect at this order.`;
  }

  return { number, small, percent, spectrum, escort, push, choice };
})();

if (typeof module === "object") module.exports = Words;
