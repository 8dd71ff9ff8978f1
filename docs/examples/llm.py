"""A real language model, tuned by reward alone and with remedies: how many different right answers survive?

    python docs/examples/llm.py

SmolLM2-135M-Instruct is asked one question again and again, and GRPO rewards the answers that a program finds right.
Runs are appended to llm.csv as they end, and those that are there already are left out, so that a sweep may be stopped
and started again; so are the right answers after the last step, to llm_answers.csv. --full tries every remedy at each
of its weights with seed 0, and goes on with the chosen weights and the other seeds.
"""

import argparse
import csv
import os
from importlib.metadata import version

import harness
import llm_model
import llm_tasks
import pycountry
import torch
from llm_model import Setting
from matplotlib.figure import Figure
from tqdm import tqdm

import renyi_core as renyi

WEIGHTS = {
    ("bonus", 1.0): (0.05, 0.1, 0.2, 0.4),
    ("bonus", 2.0): (0.1, 0.2, 0.4, 0.8),
    ("bonus", 0.5): (0.025, 0.05, 0.1, 0.2),
    ("bonus", 4.0): (0.1, 0.2, 0.4, 0.8),
    ("bonus", float("inf")): (0.1, 0.2, 0.4, 0.8),
    ("nucleus", 1.0): (0.1, 0.2, 0.4),
    ("nucleus", 2.0): (0.2, 0.4, 0.8),
    ("KL", 1.0): (0.05, 0.1, 0.2, 0.4),
}
RANGE = (0.0125, 3.2)  # of the weights that are tried besides
TARGETS = (0.7, 1.0)
INITIAL = 0.1  # β where a target entropy moves it
EQUAL = 0.95  # of the best share of right answers: from there on remedies are compared
MEASURES = {"right": 3, "distinct": 0, "effective 1": 1, "effective 2": 1, "leak": 4, "H 1": 2, "seconds": 1}
MALLOC = {"MALLOC_TRIM_THRESHOLD_": "20000000000", "MALLOC_MMAP_MAX_": "0"}
"""For glibc: gradients of all weights come and go at each step, and asking for them anew takes a third of the time."""


def settings(task):
    """Return the settings of a task, in the order in which they are tried."""
    held = [Setting(task, "target", alpha, INITIAL, share) for alpha in (1.0, 2.0) for share in TARGETS]
    swept = [Setting(task, *kind, beta, 0.0) for kind, betas in WEIGHTS.items() for beta in betas]
    return [Setting(task, "none", 1.0, 0.0, 0.0), *swept, *held]


def run(setting, seed):
    """Tune the model; return the rows of the two files."""
    versions = {name: version(name) for name in ("torch", "transformers")} | {"renyi-core": renyi.__version__}
    measured, right = llm_model.tune(setting, seed)
    same = {**setting._asdict(), "seed": seed}
    counts = right.most_common()
    return [same | row | versions for row in measured], [same | {"answer": name, "count": n} for name, n in counts]


def last(rows):
    return [row for row in rows if row["step"] == llm_model.STEPS]


def setting_of(row):
    return Setting(*(kind(row[name]) for name, kind in Setting.__annotations__.items()))


def outcomes(rows):
    """Return the share right and the number of different right answers of each setting, and the share that is enough.

    The rows are those of one task and the seeds that choose.
    """
    found = {
        setting_of(same[0]): [harness.moments(same, measure)[0] for measure in ("right", "distinct")]
        for same in harness.groups(last(rows), Setting._fields).values()
    }
    return found, EQUAL * max(right for right, _ in found.values())


def chosen(rows):
    """Return, of each remedy and order, the setting with the most different right answers among those right enough."""
    found, enough = outcomes(rows)
    candidates = {}
    for setting, (right, distinct) in found.items():
        if right >= enough:
            candidates.setdefault((setting.remedy, setting.alpha), []).append((distinct, setting))
    return [max(some)[1] for some in candidates.values()]


def further(rows):
    """Return twice the largest weight of each remedy and order while it is right enough, half the smallest until it is.

    So no choice is at the end of what was tried, save at the ends of ``RANGE``.
    """
    found, enough = outcomes(rows)
    swept = {}
    for setting in sorted(found, key=lambda setting: setting.beta):
        if setting.beta and not setting.target:
            swept.setdefault((setting.remedy, setting.alpha), []).append(setting)
    more = [some[-1]._replace(beta=2 * some[-1].beta) for some in swept.values() if found[some[-1]][0] >= enough]
    less = [some[0]._replace(beta=some[0].beta / 2) for some in swept.values() if found[some[0]][0] < enough]
    return [setting for setting in more + less if RANGE[0] <= setting.beta <= RANGE[1]]


def stages(options, read):
    """Yield lists of (setting, seed); ``read`` returns the rows of the runs so far."""
    if not options.full:
        short = [Setting("countries", "none", 1.0, 0.0, 0.0), Setting("countries", "bonus", 2.0, 0.2, 0.0)]
        yield [(setting, seed) for setting in short for seed in range(options.seeds)]
        return

    def first(task):
        return [row for row in read() if row["task"] == task and row["seed"] == 0]

    for task in llm_tasks.TASKS:
        tried = settings(task)
        while tried:
            yield [(setting, 0) for setting in tried]
            tried = further(first(task))
        yield [(setting, seed) for seed in range(1, options.seeds) for setting in chosen(first(task))]


def append(rows, path):
    """Write rows to the end of a CSV file, which gets a header if it is new."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(rows[0])
        writer.writerows([f"{v:.5g}" if isinstance(v, float) else v for v in row.values()] for row in rows)


def sweep(options, path, answers):
    """Do the runs that are not in the files yet."""

    def read():
        return harness.read_csv(path) if path.exists() else []

    for tasks in stages(options, read):
        done = {(setting_of(row), row["seed"]) for row in last(read())}
        left = [task for task in tasks if task not in done]
        with tqdm(total=len(tasks), initial=len(tasks) - len(left), unit="run", smoothing=0) as progress:
            for _, (rows, right) in harness.results_of(run, left, options.workers):
                if right:
                    append(right, answers)
                append(rows, path)
                progress.update()
    return read()


def table(rows):
    """Return the rows to be printed: of each task the chosen settings, and the model before tuning."""
    shown = []
    for task, same in harness.groups(rows, ("task",)).items():
        first = [row for row in same if row["seed"] == 0]
        shown += [row | {"remedy": "before"} for row in same if row["step"] == 0]
        some = {*chosen(first), Setting(*task, "none", 1.0, 0.0, 0.0)}
        shown += [row for row in last(same) if setting_of(row) in some]
    return shown


def draw(rows, answers, figure):
    """Draw how often each country is named, of 1,000 answers after the last step with seed 0, for some remedies."""
    some = chosen([row for row in rows if row["task"] == "countries" and row["seed"] == 0])
    shown = {"reward alone": Setting("countries", "none", 1.0, 0.0, 0.0)}
    names = {1.0: "with Shannon's entropy", 2.0: "with Rényi's of order 2"}
    shown |= {names[setting.alpha]: setting for setting in some if setting.remedy == "bonus" and setting.alpha in names}
    panels = figure.subplots(len(shown), squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, (name, setting) in zip(panels, shown.items(), strict=True):
        counts = {row["answer"]: row["count"] for row in answers if setting_of(row) == setting and row["seed"] == 0}
        heights = sorted(counts.values(), reverse=True)
        axes.bar(range(len(heights)), heights, color="0.5" if setting.remedy == "none" else "#0072b2")
        top = [pycountry.countries.get(alpha_2=code) for code in sorted(counts, key=counts.get, reverse=True)[:4]]
        listed = ", ".join(getattr(country, "common_name", country.name) for country in top)
        axes.annotate(f"most: {listed}", (0.99, 0.9), xycoords="axes fraction", ha="right", va="top", color="0.3")
        axes.set_title(f"{name}: {len(heights)} different countries", loc="left", weight="bold", fontsize=11)
        axes.set(yscale="log", ylabel="times in 1,000")
        axes.spines[["top", "right"]].set_visible(b=False)
    panels[-1].set_xlabel("countries that the model names, the commonest first")


def main(argv=None):
    parents = argparse.ArgumentParser(add_help=False)
    parents.add_argument("--cost", action="store_true", help="time and memory of a step alone, to llm_cost.csv")
    options = harness.parse("A language model tuned by reward.", seeds=2, argv=argv, parents=[parents])
    if options.cost:
        rows = llm_model.cost("countries")
        harness.write_csv(rows, options.output / "llm_cost.csv")
        harness.print_table(rows, by=("task", "remedy", "alpha"), measures=["seconds", "memory"], digits=3)
        return
    os.environ.update(MALLOC)  # read by the processes as they start
    path, answers = options.output / "llm.csv", options.output / "llm_answers.csv"
    rows = sweep(options, path, answers)
    harness.print_table(table(rows), by=Setting._fields, measures=list(MEASURES), digits=MEASURES)
    print(
        f"Mean ± standard deviation over the seeds, after {llm_model.STEPS} steps, of {llm_model.SAMPLES} answers.\n"
        f"Of each remedy and order the weight that, with seed 0 and at least {100 * EQUAL:.0f} % of the best share of\n"
        "right answers, has the most different ones. leak: answers with a token that was unlikely before."
    )
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    draw(rows, harness.read_csv(answers), figure)
    figure.savefig(options.output / "llm.png", dpi=110)
    print(f"Runs and figure: {path}, {options.output / 'llm.png'} (torch: {torch.get_num_threads()} threads)")


if __name__ == "__main__":
    main()
