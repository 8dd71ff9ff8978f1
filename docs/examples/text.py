"""Train a small language model with a Rényi entropy bonus, and ask whether a temperature does as well.

The loss is the cross-entropy of the next word - weight * mean H_alpha of the model's distribution of it. A GRU learns
the documentation topics inside Python's own distribution until it is too sure of itself. Run it with

    python docs/examples/text.py

Each model is then measured and sampled at several temperatures. It prints tables: as trained; each model at the
temperature that is best for it on validation text; all models at one entropy of their predictions, and at one
perplexity. It saves the numbers and a figure.
"""

import functools
import platform
from typing import NamedTuple

import harness
import text_measures as measures
import text_model as language
import torch
from matplotlib.figure import Figure
from torch.nn import functional

import renyi_core as renyi
from renyi_core.regularizers import EntropyBonus, LabelSmoothing

PLAN = language.Plan()
TERMS = {
    "none": EntropyBonus(),
    "α = 1/2": EntropyBonus(alpha=0.5),
    "Shannon": EntropyBonus(),
    "α = 2": EntropyBonus(alpha=2.0),
    "smoothing": LabelSmoothing(),
}
GRID = (0.1, 0.2)  # of --full
WEIGHTS = {"none": 0.0, "α = 1/2": 0.1, "Shannon": 0.2, "α = 2": 0.2, "smoothing": 0.1}
# every model is sampled where its predictions on the test text have these entropies, and at this perplexity
ENTROPIES = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
PERPLEXITY = 30.0
MEASURES = ("perplexity", "repeated 4-grams", "distinct bigrams", "self-BLEU")
DIGITS = {"temperature": 2, "entropy": 2, "perplexity": 1} | dict.fromkeys(MEASURES[1:], 3)


class Setting(NamedTuple):
    """A term and its weight."""

    term: str
    weight: float


def diversity(texts):
    return dict(zip(MEASURES[1:], (f(texts) for f in measures.ALL), strict=True))


def operating_points(validation, test):
    """Return ``{name: temperature}``."""
    points = {"trained": 1.0, "best": language.best_temperature(*validation)}
    for entropy in ENTROPIES:
        points[f"entropy {entropy:g}"] = language.solve(lambda t, h=entropy: mean_entropy(test[0] / t) - h)
    # perplexity falls up to about the best temperature, and rises from there
    if perplexity(test, points["best"]) < PERPLEXITY:
        high = points["best"]
        points["perplexity"] = language.solve(lambda t: PERPLEXITY - perplexity(test, t), high=high)
    return points


def mean_entropy(logits):
    return renyi.entropy_from_logits(logits, 1).mean().item()


def perplexity(part, temperature):
    logits, targets = part
    return functional.cross_entropy(logits / temperature, targets).exp().item()


def run(setting, seed, plan):
    """Train a model; at each operating point, measure it and texts drawn from it."""
    torch.set_num_threads(1)
    corpus = language.load(plan.vocabulary, plan.paragraphs)
    model = language.train(TERMS[setting.term].replace(weight=setting.weight), corpus, plan, seed)
    validation, test = (language.predict(model, part) for part in (corpus.validation, corpus.test))
    points = operating_points(validation, test)
    samples = language.sample(model, list(points.values()), texts=plan.texts, length=plan.length, seed=seed)
    return {
        "points": [
            {
                "at": name,
                "temperature": temperature,
                "entropy": mean_entropy(test[0] / temperature),
                "validation": perplexity(validation, temperature),
                "perplexity": perplexity(test, temperature),
                **diversity(texts),
            }
            for (name, temperature), texts in zip(points.items(), samples, strict=True)
        ]
    }


def real_text(plan):
    """Return how diverse as many texts of the test part are, taken evenly from it."""
    corpus = language.load(plan.vocabulary, plan.paragraphs)
    tokens = [token for words in corpus.test for token in words]
    last = len(tokens) - plan.length
    starts = [i * last // (plan.texts - 1) for i in range(plan.texts)]
    return diversity([tokens[start : start + plan.length] for start in starts])


def at(rows, point):
    return [row for row in rows if row["at"] == point]


def best_weights(rows):
    """Return ``{term: the weight of least perplexity on validation text, as trained}``."""
    mean = {key: harness.moments(same, "validation")[0] for key, same in by_setting(at(rows, "trained")).items()}
    return {term: min((key for key in mean if key[0] == term), key=mean.get)[1] for term, _ in mean}


def by_setting(rows):
    return harness.groups(rows, ("term", "weight"))


def only(rows, weights):
    return [row for row in rows if row["weight"] == weights[row["term"]]]


TABLES = {
    "trained": ("As trained: temperature 1", ("entropy", *MEASURES)),
    "best": ("At the temperature of least perplexity on validation text", ("temperature", "entropy", *MEASURES)),
    "entropy 2": ("At a mean entropy of 2 nats", ("temperature", *MEASURES)),
    "perplexity": (f"At a perplexity of {PERPLEXITY:g}", ("temperature", "entropy", *MEASURES[1:])),
}


def print_tables(rows, real):
    for point, (title, columns) in TABLES.items():
        print(f"\n{title}")
        harness.print_table(at(rows, point), by=("term", "weight"), measures=columns, digits=DIGITS)
    print("\nThe test text itself: " + ", ".join(f"{name} {value:.3f}" for name, value in real.items()))


COLORS = {"none": "black", "α = 1/2": "#0072b2", "Shannon": "#009e73", "α = 2": "#d55e00", "smoothing": "#cc79a7"}


def change(rows, term, point):
    """Return the mean and the deviation of a term's effect on perplexity, seed by seed, in percent."""
    found = {(row["term"], row["seed"]): row["perplexity"] for row in at(rows, point)}
    seeds = sorted({seed for _, seed in found})
    return harness.moments([{"": 100 * (found[term, s] / found["none", s] - 1)} for s in seeds], "")


def draw(rows, real, weights, path):
    figure = Figure(figsize=(6, 8), layout="constrained")
    above, below = figure.subplots(2, height_ratios=(3, 2))
    rows = only(rows, weights)
    for (term, weight), same in by_setting(rows).items():
        path_of = [f"entropy {entropy:g}" for entropy in ENTROPIES]
        x, y = ([harness.moments(at(same, p), m)[0] for p in path_of] for m in ("distinct bigrams", "perplexity"))
        label = "no term" if term == "none" else f"{term}, weight {weight:g}"
        above.plot(x, y, "-", color=COLORS[term], lw=1.6, label=label)
        above.plot(x, y, ".", color=COLORS[term], ms=6)
        x, y = (harness.moments(at(same, "trained"), m)[0] for m in ("distinct bigrams", "perplexity"))
        above.plot(x, y, "o", color=COLORS[term], ms=11, mec="white", mew=1.5, zorder=3)
    low = min(row["perplexity"] for row in rows)
    above.axvline(real["distinct bigrams"], color="0.6", ls="--", lw=1)
    above.text(real["distinct bigrams"], 2.4 * low, " the test text", color="0.4", va="top")
    above.set(yscale="log", ylim=(0.97 * low, 2.5 * low), ylabel="perplexity of held-out text")
    above.set_xlabel("distinct bigrams of sampled text: more diverse →")
    ticks = [tick for tick in (20, 25, 30, 35, 40, 50, 60, 80, 100, 150) if 0.97 * low < tick < 2.5 * low]
    above.yaxis.set_ticks(ticks, map(str, ticks))
    above.yaxis.set_ticks([], minor=True)
    above.set_title("One path, by a temperature or by a term", loc="left", weight="bold")
    above.legend(frameon=False, title="large: as trained (temperature 1)\nsmall: entropies of 1.5, 2, …, 4 nats")

    for term in weights:
        if term != "none":
            mean, deviation = zip(*(change(rows, term, p) for p in path_of), strict=True)
            below.plot(ENTROPIES, mean, color=COLORS[term], lw=2)
            edges = [[m + sign * d for m, d in zip(mean, deviation, strict=True)] for sign in (-1, 1)]
            below.fill_between(ENTROPIES, *edges, color=COLORS[term], alpha=0.15, lw=0)
    below.axhline(0, color="black", lw=1.6)
    below.set_title("What the temperature leaves to the term", loc="left", weight="bold")
    below.set(xlabel="mean entropy of the predictions [nats]: sharp → soft", ylabel="perplexity against no term [%]")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main(argv=None):
    options = harness.parse("A language model regularized by a Rényi entropy.", seeds=5, argv=argv)
    grid = {term: GRID if options.full and weight else (weight,) for term, weight in WEIGHTS.items()}
    settings = [Setting(term, weight) for term, weights in grid.items() for weight in weights]
    corpus = language.load(PLAN.vocabulary, PLAN.paragraphs)
    train, validation, test = (sum(map(len, part)) for part in corpus[1:])
    print(f"Topics of Python {platform.python_version()}: {train} words to train on, {validation} and {test} held out")

    job = functools.partial(run, plan=PLAN)
    study = harness.study(job, settings, seeds=options.seeds, workers=options.workers, description="training")
    rows = [{name: row[name] for name in ("term", "weight", "seed")} | p for row in study for p in row["points"]]
    real = real_text(PLAN)
    harness.write_csv(rows, options.output / "text.csv")
    harness.write_csv([real], options.output / "text_real.csv")
    print_tables(rows, real)
    weights = best_weights(rows)
    draw(rows, real, weights, options.output / "text.png")
    print(f"Numbers and figure: {options.output / 'text.csv'}, {options.output / 'text.png'}")


if __name__ == "__main__":
    main()
