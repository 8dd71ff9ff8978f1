"use strict";

/* The pictures, as SVG at the size of their place: functions of data, which draw anew each time. */
const Pictures = (() => {
  const GROUND = "http://www.w3.org/2000/svg";

  function element(name, attributes = {}, ...children) {
    const node = document.createElementNS(GROUND, name);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    node.append(...children);
    return node;
  }

  const text = (x, y, content, attributes = {}) => element("text", { x, y, ...attributes }, content);
  const line = (x1, y1, x2, y2, kind) => element("line", { x1, y1, x2, y2, class: kind });
  const near = (x) => x.toFixed(2);
  const pathOf = (points, closed = false) =>
    `M${points.map(([x, y]) => `${near(x)},${near(y)}`).join("L")}${closed ? "Z" : ""}`;

  function frame(place, height, label, children) {
    const width = Math.max(place.clientWidth, 200);
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
    svg.append(...children(width).flat());
    place.replaceChildren(svg);
    return svg;
  }

  const { number } = Words;

  /** H_α over all orders; α is at α/(1 + α), as on the dial. */
  function spectrum(place, { alphas, values, alpha, value, n, label }) {
    frame(place, 260, label, (width) => {
      const [left, right, top, bottom] = [34, width - 34, 34, 206];
      const high = Math.log(n);
      const x = (order) => left + (right - left) * State.placeOf(order);
      const y = (h) => bottom - (bottom - top) * (h / high);
      const points = alphas.map((order, i) => [x(order), y(values[i])]);
      const counts = [1, 2, 4, 8, 16].filter((count) => count <= n);
      if (counts.at(-1) < n && n / counts.at(-1) > 1.3) counts.push(n);
      const step = high > 1.2 ? 0.5 : 0.25;
      const ticks = Array.from({ length: Math.floor(high / step) + 1 }, (_, k) => k * step);
      const names = [
        [0, "Hartley"],
        [0.5, ""],
        [1, "Shannon"],
        [2, "collision"],
        [Infinity, "min"],
      ];
      return [
        text(0, top - 20, "nats"),
        text(width, top - 20, "outcomes", { "text-anchor": "end" }),
        ...ticks.map((h) => text(left - 6, y(h) + 4, String(h), { "text-anchor": "end" })),
        ...counts.flatMap((count) => [
          line(left, y(Math.log(count)), right, y(Math.log(count)), "grid"),
          text(right + 6, y(Math.log(count)) + 4, String(count)),
        ]),
        element("path", { d: pathOf([[left, bottom], ...points, [right, bottom]], true), class: "under" }),
        line(x(alpha), top, x(alpha), bottom, "now-line"),
        element("path", { d: pathOf(points), class: "curve" }),
        ...names
          .filter(([, name]) => name !== "")
          .map(([order]) =>
            element("circle", { cx: x(order), cy: y(values[alphas.indexOf(order)]), r: 4, class: "named-dot" }),
          ),
        ...names.flatMap(([order, name], i) => {
          const anchor = { "text-anchor": i === 0 ? "start" : order === Infinity ? "end" : "middle" };
          const shift = i === 0 ? -8 : order === Infinity ? 8 : 0;
          const digit = order === 0.5 ? "½" : State.formatOrder(order);
          return [
            text(x(order) + (i === 0 ? -4 : order === Infinity ? 5 : 0), bottom + 18, digit, {
              ...anchor,
              class: "strong",
            }),
            text(x(order) + shift, bottom + (order === 2 && width < 380 ? 48 : 34), name, anchor),
          ];
        }),
        text(width, bottom + 18, "α", { "text-anchor": "end", class: "now" }),
        element("circle", { cx: x(alpha), cy: y(value), r: 6.5, class: "now-dot" }),
      ];
    });
  }

  /** Bars of p beside those of its escort distribution. */
  function pairs(place, { p, q, label }) {
    frame(place, 220, label, (width) => {
      const [left, top, bottom] = [38, 12, 196];
      const high = Math.max(...p, ...q);
      const y = (share) => bottom - (bottom - top) * (share / high);
      const step = [0.5, 0.25, 0.2, 0.1, 0.05, 0.02].find((s) => high / s >= 2) ?? 0.02;
      const ticks = Array.from({ length: Math.floor(high / step + 1e-9) + 1 }, (_, k) => k * step);
      const slot = (width - left) / p.length;
      const bar = Math.min(slot * 0.4, 34);
      return [
        ...ticks.flatMap((share) => [
          line(left, y(share), width, y(share), share === 0 ? "axis" : "grid"),
          text(left - 6, y(share) + 4, `${Math.round(100 * share)} %`, { "text-anchor": "end" }),
        ]),
        ...p.flatMap((share, i) => {
          const middle = left + slot * (i + 0.5);
          const gap = Math.min(2, bar / 8);
          return [
            element("rect", {
              x: middle - bar - gap / 2,
              y: y(share),
              width: bar,
              height: bottom - y(share),
              rx: 2,
              class: "bar-p",
            }),
            element("rect", {
              x: middle + gap / 2,
              y: y(q[i]),
              width: bar,
              height: bottom - y(q[i]),
              rx: 2,
              class: "bar-q",
            }),
            ...(slot > 19 || i % 2 === 0
              ? [text(middle, bottom + 16, String(i + 1), { "text-anchor": "middle" })]
              : []),
          ];
        }),
      ];
    });
  }

  /** Signed bars from a line: what each logit is pushed by. */
  function pushes(place, { g, names, height, label }) {
    frame(place, height, label, (width) => {
      const [left, top, bottom] = [4, 18, height - 38];
      const above = Math.max(0, ...g);
      const below = Math.max(0, ...g.map((x) => -x));
      const span = Math.max(above + below, Number.MIN_VALUE);
      const flat = above + below === 0;
      const zero = flat ? (top + bottom) / 2 : top + (bottom - top) * (above / span);
      const scale = flat ? 0 : (bottom - top) / span;
      const slot = (width - left) / g.length;
      const bar = Math.min(slot * 0.7, 46);
      return [
        line(left, zero, width, zero, "axis"),
        ...g.flatMap((push, i) => {
          const middle = left + slot * (i + 0.5);
          const size = Math.abs(push) * scale;
          const up = push > 0;
          const digits = number(push, slot > 50 ? 3 : 2);
          const shown = /[1-9]/.test(digits) && (slot > 38 || push === above || push === -below);
          return [
            element("rect", {
              x: middle - bar / 2,
              y: up ? zero - size : zero,
              width: bar,
              height: size,
              rx: 2,
              class: up ? "bar-up" : "bar-down",
            }),
            ...(shown && !flat
              ? [
                  text(
                    middle,
                    up ? zero - size - 5 : zero + size + 13,
                    `${up ? "+" : ""}${digits}`,
                    { "text-anchor": "middle" },
                  ),
                ]
              : []),
            ...(slot > 19 || i % 2 === 0
              ? [text(middle, height - 4, names[i], { "text-anchor": "middle", class: "strong" })]
              : []),
          ];
        }),
        ...(flat ? [text(width / 2, zero - 10, "no push at all", { "text-anchor": "middle", class: "strong" })] : []),
      ];
    });
  }

  /* The triangle: A at the top, B and C at the bottom. */
  const CORNERS = [
    [0.5, 0],
    [0, 1],
    [1, 1],
  ];
  const TALL = Math.sqrt(3) / 2;
  const COUNTS = [1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75];
  const RAYS = 30; // in a sixth of the triangle: the others are its mirror images

  /** Where H_α = log(count) on the rays from the center, around; H_α falls along each of them. */
  function levelOf(alpha, count) {
    const height = Math.log(count);
    const sixth = Array.from({ length: RAYS + 1 }, (_, k) => {
      // from the corner A to the middle of the side AB
      const end = [1 - k / RAYS / 2, k / RAYS / 2, 0];
      const at = (r) => end.map((x) => 1 / 3 + r * (x - 1 / 3));
      if (Renyi.entropy(end, alpha) >= height) return end;
      let [low, high] = [0, 1];
      for (let i = 0; i < 14; i++) {
        const middle = (low + high) / 2;
        if (Renyi.entropy(at(middle), alpha) >= height) low = middle;
        else high = middle;
      }
      return at(low);
    });
    const third = [
      ...sixth,
      ...sixth
        .slice(0, -1)
        .reverse()
        .map(([a, b, c]) => [b, a, c]),
    ];
    return [third, third.map(([a, b, c]) => [c, a, b]), third.map(([a, b, c]) => [b, c, a])].flat();
  }

  function lattice(size) {
    const points = [];
    for (let a = 0; a < size; a++)
      for (let b = 0; a + b < size; b++) points.push([a, b, size - 1 - a - b].map((x) => (x + 1 / 3) / size));
    return points;
  }

  const LATTICE = lattice(11);
  const speed = ([dx, dy]) => Math.hypot(dx, dy);

  /** The way of p to the center while its logits follow the gradient. */
  function wayFrom(start, alpha) {
    const way = [start];
    let p = start;
    for (let k = 0; k < 400; k++) {
      const rate = Renyi.motion(p, alpha);
      const size = Math.hypot(...rate);
      if (!(size > 0) || Math.hypot(...p.map((x) => x - 1 / 3)) < 0.006) break;
      p = State.ontoSimplex(p.map((x, i) => x + (0.005 * rate[i]) / size));
      way.push(p);
    }
    // means of neighbors: at α = ∞ the way along a tie goes to and fro
    return [start, ...way.slice(1).map((next, k) => next.map((x, i) => (x + way[k][i]) / 2))];
  }

  function arrow(x, y, dx, dy, head) {
    const [ex, ey] = [x + dx / 2, y + dy / 2];
    const size = Math.min(head, 0.6 * Math.hypot(dx, dy));
    const turn = Math.atan2(dy, dx);
    const barb = (side) => `${near(ex - size * Math.cos(turn + side))},${near(ey - size * Math.sin(turn + side))}`;
    return `M${near(x - dx / 2)},${near(y - dy / 2)}L${near(ex)},${near(ey)}M${barb(0.5)}L${near(ex)},${near(ey)}L${barb(-0.5)}`;
  }

  /** The triangle's frame, which stays, so that the handle keeps the focus while it moves. */
  function empty(place) {
    const svg = element(
      "svg",
      { role: "group", "aria-label": "Triangle of the distributions of three outcomes" },
      element("g", { class: "ground", "aria-hidden": "true" }),
      element(
        "g",
        {
          class: "handle",
          tabindex: 0,
          role: "slider",
          "aria-label": "Distribution of A, B and C; arrow keys move it",
          "aria-valuemin": 0,
          "aria-valuemax": 100,
        },
        element("circle", { r: 24, class: "touch" }),
        element("circle", { r: 15, class: "ring" }),
        element("circle", { r: 10, class: "knob" }),
      ),
    );
    place.replaceChildren(svg);
    return svg;
  }

  /** Levels and arrows for an order, and the handle at p; returns what takes a place in the picture to its p. */
  function simplex(place, { p, alpha }) {
    const width = Math.max(place.clientWidth, 200);
    const side = Math.min(width - 44, 560);
    const [margin, top] = [(width - side) / 2, 30];
    const at = (triple) =>
      [0, 1].map((axis) =>
        triple.reduce((total, x, i) => total + x * CORNERS[i][axis] * side * (axis ? TALL : 1), axis ? top : margin),
      );
    const scale = ([a, b, c]) => [side * (a * 0.5 + c), side * TALL * (b + c)];

    const levels = alpha === 0 ? [] : COUNTS.map((count) => levelOf(alpha, count).map(at));
    // on the way from the center to C, where there is room
    const labels = [];
    if (alpha > 0)
      [2.5, 2, 1.5].forEach((count) => {
        const [left, down] = levels[COUNTS.indexOf(count)][4 * RAYS + 2];
        const before = labels.at(-1) ?? [-Infinity];
        if (left - before[0] > 20 && left < margin + side - 24) labels.push([left, down, String(count)]);
      });
    const clear = ([left, down]) => labels.every(([lx, ly]) => Math.hypot(left - lx, down - ly) > 17);
    const pushed = LATTICE.map((triple) => ({ from: at(triple), by: scale(Renyi.motion(triple, alpha)) }));
    const fastest = Math.max(...pushed.map(({ by }) => speed(by)));
    const longest = (side / 11) * 0.72;
    const sized = (by) =>
      by.map((x) => (speed(by) > 0 ? (x / speed(by)) * longest * Math.sqrt(Math.min(speed(by) / fastest, 1.5)) : 0));
    const arrows =
      fastest > 0
        ? pushed
            .map(({ from, by }) => [...from, ...sized(by)])
            .filter((each) => Math.hypot(each[2], each[3]) > 3 && clear(each))
        : [];

    const corners = CORNERS.map((_, i) => at([0, 1, 2].map((j) => (i === j ? 1 : 0))));
    const [x, y] = at(p);
    const own = scale(Renyi.motion(p, alpha));
    const ownSize =
      fastest > 0 && speed(own) > 0
        ? own.map((d) => (d / speed(own)) * Math.max(26, 2.2 * longest * Math.sqrt(speed(own) / fastest)))
        : [0, 0];
    const percent = (share) => `${number(100 * share, 1)} %`;
    const svg = place.querySelector("svg") ?? empty(place);
    const height = near(top + side * TALL + 32);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.querySelector(".ground").replaceChildren(
      ...levels.map((level) => element("path", { d: pathOf(level, true), class: "band" })),
      ...levels.map((level) => element("path", { d: pathOf(level, true), class: "level" })),
      element("path", { d: pathOf(corners, true), class: "triangle" }),
      element("path", { d: arrows.map((each) => arrow(...each, 6)).join(""), class: "arrows" }),
      ...labels.map(([lx, ly, content]) => text(lx, ly + 4, content, { "text-anchor": "middle", class: "now halo" })),
      element("path", { d: pathOf(wayFrom(p, alpha).map(at)), class: "way" }),
      element("path", {
        d: speed(ownSize) > 0 ? arrow(x + ownSize[0] / 2, y + ownSize[1] / 2, ...ownSize, 10) : "",
        class: "own",
      }),
      ...(alpha === 0
        ? [
            text(corners[0][0], top + side * TALL * 0.68, "3 outcomes, everywhere inside", {
              "text-anchor": "middle",
              class: "now",
            }),
          ]
        : []),
      text(corners[0][0], corners[0][1] - 12, `A ${percent(p[0])}`, { "text-anchor": "middle", class: "big" }),
      text(corners[1][0], corners[1][1] + 24, `B ${percent(p[1])}`, { "text-anchor": "start", class: "big" }),
      text(corners[2][0], corners[2][1] + 24, `C ${percent(p[2])}`, { "text-anchor": "end", class: "big" }),
    );
    const handle = svg.querySelector(".handle");
    handle.setAttribute("transform", `translate(${near(x)} ${near(y)})`);
    handle.setAttribute("aria-valuenow", near(100 * p[0]));
    handle.setAttribute(
      "aria-valuetext",
      p.map((share, i) => `${"ABC"[i]} ${number(100 * share, 1)} percent`).join(", "),
    );
    const tripleAt = (left, down) => {
      const c1 = (down - top) / (side * TALL); // B + C
      const c = (left - margin) / side - (1 - c1) / 2;
      return State.ontoSimplex([1 - c1, c1 - c, c]);
    };
    return tripleAt;
  }

  /** Shares of the options for each order, one upon the other. */
  function stack(place, { alphas, rows, alpha, names, label }) {
    frame(place, 264, label, (width) => {
      const [left, right, top, bottom] = [4, width - 4, 10, 236];
      const x = (order) => left + (right - left) * State.placeOf(order);
      const y = (share) => top + (bottom - top) * share;
      const colors = getComputedStyle(document.documentElement).getPropertyValue("--layers").split(",");
      const before = (row, i) => row.slice(0, i).reduce((total, share) => total + share, 0);
      return [
        ...names.map((_, i) => {
          const upper = alphas.map((order, k) => [x(order), y(before(rows[k], i))]);
          const lower = alphas.map((order, k) => [x(order), y(before(rows[k], i + 1))]).reverse();
          return element("path", {
            d: pathOf([...upper, ...lower], true),
            class: "layer",
            fill: colors[i % colors.length].trim(),
          });
        }),
        ...names.flatMap((name, i) => {
          const [best] = rows.map((_, k) => k).sort((a, b) => rows[b][i] - rows[a][i]);
          const middle = before(rows[best], i) + rows[best][i] / 2;
          const across = Math.min(Math.max(x(alphas[best]), left + 12), right - 12);
          return (bottom - top) * rows[best][i] > 18
            ? [text(across, y(middle) + 4, name, { "text-anchor": "middle", class: "in-layer" })]
            : [];
        }),
        line(x(alpha), top - 6, x(alpha), bottom + 4, "now-line"),
        ...[0, 0.5, 1, 2, Infinity].map((order) =>
          text(x(order), bottom + 18, order === 0.5 ? "½" : State.formatOrder(order), {
            "text-anchor": order === 0 ? "start" : order === Infinity ? "end" : "middle",
            class: "strong",
          }),
        ),
      ];
    });
  }

  return { spectrum, pairs, pushes, simplex, stack };
})();
