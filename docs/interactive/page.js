"use strict";

/* The controls and the words: what is set goes into `state`, and all that shows it is drawn anew in the next frame. */
{
  const at = (id) => document.getElementById(id);
  const { number, small } = Words;
  const LETTERS = ["A", "B", "C", "D", "E", "F"];
  const SPECTRUM = Array.from({ length: State.STEPS / 2 + 1 }, (_, k) => State.orderOf(2 * k));
  const ORDERS = Array.from({ length: 61 }, (_, k) => State.orderOf(4 * k));

  let state = State.fresh();
  const stale = new Set();
  let frame = 0;
  let pause = 0;

  /** Draw these parts again, since the reader moved something. */
  function change(...parts) {
    parts.forEach((part) => stale.add(part));
    frame ||= requestAnimationFrame(draw);
    clearTimeout(pause);
    pause = setTimeout(settle, 350, parts);
  }

  const ALL = ["dial", "outcomes", "triple", "choice"];

  /** Draw all again, where nothing was set by hand. */
  function redraw() {
    ALL.forEach((part) => stale.add(part));
    frame ||= requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    const drawn = { dial: drawDial, outcomes: drawOutcomes, triple: drawTriple, choice: drawChoice };
    Object.keys(drawn)
      .filter((part) => stale.has(part))
      .forEach((part) => drawn[part]());
    stale.clear();
  }

  /** Once the reader pauses: the address, and what is read aloud. */
  function settle(parts) {
    const hash = `#${State.encode(state)}`;
    if (hash !== location.hash) history.replaceState(null, "", hash);
    const words = { outcomes: "spectrum-words", triple: "simplex-words", choice: "choice-words" };
    const heard = parts
      .map((part) => words[part])
      .filter((id) => id !== undefined)
      .map((id) => at(id).textContent);
    if (parts.length > 1)
      heard.unshift(`Order ${state.alpha === Infinity ? "infinity" : state.alpha}, ${State.nameOf(state.alpha)}.`);
    at("spoken").textContent = heard.join(" ");
  }

  function show(id, value, digits = 3) {
    at(id).value = String(value);
    at(id).textContent = number(value, digits);
  }

  /* The dial. */

  function setAlpha(alpha) {
    accept();
    state.alpha = alpha;
    change(...ALL);
  }

  let doubt = 0;

  /** Mark the order that was typed as none, and say why: at once, or when the reader pauses. */
  function reject(why, delay = 0) {
    clearTimeout(doubt);
    at("alpha-text").setAttribute("aria-invalid", "true");
    doubt = setTimeout(() => (at("alpha-why").textContent = `${why} α stays ${State.formatOrder(state.alpha)}.`), delay);
  }

  function accept() {
    clearTimeout(doubt);
    at("alpha-text").setAttribute("aria-invalid", "false");
    at("alpha-why").textContent = "";
  }

  State.STOPS.forEach((alpha) => {
    const button = document.createElement("button");
    button.type = "button";
    button.style.left = `${100 * State.placeOf(alpha)}%`;
    button.append(alpha === 0.5 ? "½" : State.formatOrder(alpha));
    if (alpha !== 0.5) {
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = ` ${State.nameOf(alpha).replace(/[ -]entropy/, "")}`;
      button.append(name);
    }
    button.setAttribute("aria-label", `α = ${alpha === Infinity ? "infinity" : alpha}, ${State.nameOf(alpha)}`);
    button.dataset.alpha = String(alpha);
    button.addEventListener("click", () => setAlpha(alpha));
    at("stops").append(button);
  });

  at("alpha").addEventListener("input", (event) => setAlpha(State.orderOf(event.target.valueAsNumber)));
  at("alpha-text").addEventListener("input", ({ target }) => {
    const why = State.whyNot(target.value);
    if (why === "") setAlpha(State.parseOrder(target.value));
    else reject(why, 600);
  });
  at("alpha-text").addEventListener("change", ({ target }) => {
    const why = State.whyNot(target.value);
    if (why !== "") reject(why);
  });
  at("alpha-text").addEventListener("blur", () => change("dial"));

  let playing = 0;

  function play(on) {
    clearInterval(playing);
    playing = 0;
    at("play").setAttribute("aria-pressed", String(on));
    at("play").querySelector(".icon").textContent = on ? "❚❚" : "▶";
    if (!on) return;
    let step = State.stepOf(state.alpha) % State.STEPS;
    playing = setInterval(() => {
      step += 1;
      setAlpha(State.orderOf(step));
      if (step === State.STEPS) play(false);
    }, 45);
  }

  at("play").setAttribute("aria-label", "Play: move α through all orders");
  at("play").addEventListener("click", () => play(playing === 0));
  ["pointerdown", "keydown"].forEach((kind) => at("alpha").addEventListener(kind, () => play(false)));

  function drawDial() {
    const { alpha } = state;
    at("alpha").valueAsNumber = State.stepOf(alpha);
    at("alpha").setAttribute("aria-valuetext", `${alpha === Infinity ? "infinity" : alpha}, ${State.nameOf(alpha)}`);
    // what is being typed stays, and so does what was rejected, beside the reason
    const text = at("alpha-text");
    if (document.activeElement !== text && text.getAttribute("aria-invalid") !== "true")
      text.value = State.formatOrder(alpha);
    at("alpha-name").textContent = State.nameOf(alpha);
    at("alpha-look").textContent = State.lookOf(alpha);
    at("stops")
      .querySelectorAll("button")
      .forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.alpha) === alpha)));
  }

  /* Many outcomes: weights, spectrum, escort distribution, push. */

  function rangeInput(label, [min, max, step]) {
    const input = document.createElement("input");
    Object.assign(input, { type: "range", min, max, step });
    input.setAttribute("aria-label", label);
    return input;
  }

  function setWeight(index, weight) {
    state.weights[index] = weight;
    // one outcome at least stays possible
    if (state.weights.every((w) => w === 0)) state.weights[index] = 0.001;
    state.preset = null;
    change("outcomes");
  }

  function layBars() {
    at("bars").replaceChildren(
      ...state.weights.map((_, i) => {
        const bar = document.createElement("div");
        bar.className = "bar";
        const input = rangeInput(`Outcome ${i + 1}`, [0, 1, 0.001]);
        input.addEventListener("input", () => setWeight(i, input.valueAsNumber));
        const name = document.createElement("span");
        name.className = "name";
        bar.append(input, name);
        return bar;
      }),
    );
  }

  at("preset").addEventListener("change", (event) => {
    state.preset = event.target.value;
    state.weights = State.preset(state.preset, state.weights.length);
    change("outcomes");
  });
  at("n").addEventListener("input", (event) => {
    const n = event.target.valueAsNumber;
    const kept = state.weights.slice(0, n);
    if (state.preset !== null) state.weights = State.preset(state.preset, n);
    else state.weights = [...kept, ...Array(n - kept.length).fill(0.2)];
    if (state.weights.every((w) => w === 0)) state.weights[0] = 0.001;
    change("outcomes");
  });

  function drawOutcomes() {
    const { alpha, weights } = state;
    const n = weights.length;
    if (at("bars").children.length !== n) layBars();
    const p = Renyi.normalized(weights);
    [...at("bars").children].forEach((bar, i) => {
      const [input, name] = bar.children;
      input.valueAsNumber = weights[i];
      input.style.setProperty("--value", weights[i]);
      input.setAttribute("aria-valuetext", `weight ${weights[i]}, probability ${number(100 * p[i], 1)} percent`);
      name.textContent = n > 10 ? String(i + 1) : number(p[i], n > 8 ? 2 : 3).replace("0.", ".");
    });
    at("preset").value = state.preset ?? "own";
    at("n").valueAsNumber = n;
    at("n-value").value = n;

    const [entropy, hill] = [Renyi.entropy(weights, alpha), Renyi.hillNumber(weights, alpha)];
    show("entropy", entropy);
    show("hill", hill, 2);
    const values = Renyi.spectrum(weights, SPECTRUM);
    const label = `Entropy spectrum, falling from ${number(values[0])} nats at order 0 to ${number(values.at(-1))} at order infinity`;
    Pictures.spectrum(at("spectrum"), { alphas: SPECTRUM, values, alpha, value: entropy, n, label });
    at("spectrum-words").textContent = Words.spectrum(weights, alpha);

    const q = Renyi.escort(weights, alpha);
    Pictures.pairs(at("escort"), { p, q, label: "Bars of p and of its escort distribution q" });
    at("escort-words").textContent = Words.escort(p, q);

    const g = Renyi.gradient(weights, alpha);
    Pictures.pushes(at("push"), {
      g,
      names: g.map((_, i) => String(i + 1)),
      height: 220,
      label: "Bars of the push on each logit",
    });
    at("push-words").textContent = Words.push(p, g, alpha, (i) => `outcome ${i + 1}`);
  }

  /* Three outcomes: the triangle. */

  let tripleAt = null;

  function setTriple(triple) {
    state.triple = State.onGrid(triple);
    change("triple");
  }

  const shares = ["A", "B", "C"].map((name, i) => {
    const row = document.createElement("div");
    row.className = "line";
    const title = document.createElement("b");
    title.textContent = name;
    const input = rangeInput(`Probability of ${name}`, [0, 1, 0.001]);
    input.addEventListener("input", () => {
      state.triple = State.withShare(state.triple, i, input.valueAsNumber);
      change("triple");
    });
    const output = document.createElement("output");
    row.append(title, input, output);
    at("shares").append(row);
    return { input, output };
  });

  const drag = (event) => {
    const box = at("simplex").getBoundingClientRect();
    setTriple(tripleAt(event.clientX - box.left, event.clientY - box.top));
  };

  at("simplex").addEventListener("pointerdown", (event) => {
    // a finger beside the point scrolls the page, and a tap moves it
    if (event.button !== 0 || (event.pointerType === "touch" && event.target.closest(".handle") === null)) return;
    event.preventDefault();
    at("simplex").setPointerCapture(event.pointerId);
    at("simplex").querySelector(".handle").focus({ preventScroll: true, focusVisible: false });
    drag(event);
  });
  at("simplex").addEventListener("pointermove", (event) => {
    if (at("simplex").hasPointerCapture(event.pointerId)) drag(event);
  });

  at("simplex").addEventListener("click", (event) => {
    if (event.pointerType === "touch") drag(event);
  });

  /* Arrow keys, in barycentric steps: up to A, down from it, left to B, right to C. */
  const KEYS = {
    ArrowUp: [1, -0.5, -0.5],
    ArrowDown: [-1, 0.5, 0.5],
    ArrowLeft: [0, 1, -1],
    ArrowRight: [0, -1, 1],
  };

  at("simplex").addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.01;
    if (event.key === "Home") setTriple([1 / 3, 1 / 3, 1 / 3]);
    else if (event.key in KEYS) setTriple(State.ontoSimplex(state.triple.map((x, i) => x + step * KEYS[event.key][i])));
    else return;
    event.preventDefault();
  });

  function drawTriple() {
    const { alpha, triple } = state;
    tripleAt = Pictures.simplex(at("simplex"), { p: triple, alpha });
    shares.forEach(({ input, output }, i) => {
      input.valueAsNumber = triple[i];
      input.setAttribute("aria-valuetext", `${number(100 * triple[i], 1)} percent`);
      output.value = number(triple[i]);
    });
    const hill = Renyi.hillNumber(triple, alpha);
    show("triple-entropy", Renyi.entropy(triple, alpha));
    show("triple-hill", hill, 2);
    const g = Renyi.gradient(triple, alpha);
    Pictures.pushes(at("triple-push"), {
      g,
      names: ["A", "B", "C"],
      height: 210,
      label: "Bars of the push on the logits of A, B and C",
    });
    at("simplex-words").textContent =
      `${number(hill, 2)} outcomes in effect. ${Words.push(triple, g, alpha, (i) => "ABC"[i])}`;
  }

  /* Options with scores: the regularized choice. */

  const options = LETTERS.map((name, i) => {
    const row = document.createElement("div");
    row.className = "option";
    const title = document.createElement("b");
    title.textContent = name;
    const input = rangeInput(`Score of ${name}`, [-3, 3, 0.05]);
    input.addEventListener("input", () => {
      state.scores[i] = Number(input.valueAsNumber.toFixed(2));
      change("choice");
    });
    const share = document.createElement("div");
    share.className = "share";
    const [track, bar, ghost] = ["share-track", "share-bar", "share-ghost"].map((kind) => {
      const part = document.createElement("div");
      part.className = kind;
      return part;
    });
    const output = document.createElement("output");
    track.append(bar, ghost);
    share.append(track, output);
    row.append(title, input, share);
    at("options").append(row);
    return { input, bar, ghost, output };
  });

  at("temperature").addEventListener("input", (event) => {
    state.temperature = State.temperatureOf(event.target.valueAsNumber);
    change("choice");
  });

  const stacked = { key: "", rows: [] };

  function drawChoice() {
    const { alpha, scores, temperature } = state;
    const p = Renyi.regularizedArgmax(scores, alpha, temperature);
    const softmax = Renyi.regularizedArgmax(scores, 1, temperature);
    options.forEach(({ input, bar, ghost, output }, i) => {
      input.valueAsNumber = scores[i];
      input.setAttribute("aria-valuetext", `${scores[i]}, probability ${small(p[i])}`);
      bar.style.width = `${100 * p[i]}%`;
      ghost.style.left = `${100 * softmax[i]}%`;
      output.dataset.value = String(p[i]);
      output.value = p[i] === 0 ? "0" : small(p[i]);
      output.classList.toggle("none", p[i] === 0);
    });
    at("temperature").valueAsNumber = State.temperatureStepOf(temperature);
    at("temperature").setAttribute("aria-valuetext", String(temperature));
    at("temperature-value").value = temperature;

    at("choice-words").textContent = Words.choice(p, scores, alpha);

    const key = `${scores} ${temperature}`;
    if (stacked.key !== key) {
      stacked.key = key;
      stacked.rows = ORDERS.map((order) => Renyi.regularizedArgmax(scores, order, temperature));
    }
    Pictures.stack(at("stack"), {
      alphas: ORDERS,
      rows: stacked.rows,
      alpha,
      names: LETTERS,
      label: "Shares of the options at every order",
    });
  }

  /* The page as a whole. */

  /** Take what the address sets. */
  function load() {
    state = State.decode(location.hash);
    const order = new URLSearchParams(location.hash.slice(1)).get("a");
    const why = order === null ? "" : State.whyNot(order);
    accept();
    if (why !== "") {
      at("alpha-text").value = order;
      reject(why);
    }
    redraw();
  }

  /** Copy a text, also where a browser keeps its clipboard from pages that are files. */
  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      at("share").focus();
      return done;
    }
  }

  at("share").addEventListener("click", async () => {
    clearTimeout(pause);
    const link = new URL(`#${State.encode(state)}`, location.href);
    history.replaceState(null, "", link.hash);
    const done = await copied(link.href);
    at("share").textContent = done ? "Copied" : "Copy the address above";
    at("spoken").textContent = done ? "The link is copied." : "Copy the address of this page.";
    setTimeout(() => (at("share").textContent = "Copy link"), 2500);
  });

  at("reset").addEventListener("click", () => {
    accept();
    state = State.fresh();
    change(...ALL);
  });
  window.addEventListener("hashchange", load);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let width = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width !== width) redraw();
    width = contentRect.width;
  }).observe(at("chapters"));
  load();
}
