"""Reinforcement learning with an entropy bonus of order α: what it keeps alive, and at what price.

    python docs/examples/rl.py --part robot

robot    a gridworld with 252 shortest paths: how many of them a policy keeps, and what for
answers  GRPO on answers that a program checks, 10 useful tokens among 1,000: diversity against the leak into the tail
masks    the same answers, with what keeps a bonus out of the tail: a nucleus, the most uncertain positions, an anchor
explore  a room with a near goal that deceives: a bonus on the states that are visited

Without --part, all of them. Each prints a table and writes its runs, rl_PART.csv, and a figure, rl_PART.png.
"""

import argparse
import functools
import importlib

import numpy as np
from harness import parse, print_table, study, write_csv
from matplotlib.figure import Figure

PARTS = ("robot", "answers", "masks", "explore")


def together(run, settings, *, seeds, workers, description):
    """Return what `harness.study` does, where ``run(seeds, setting, first)`` trains all seeds of a setting at once."""
    found = []
    for row in study(functools.partial(run, seeds), settings, seeds=1, workers=workers, description=description):
        for seed in range(seeds):
            values = {name: float(v[seed]) for name, v in row.items() if isinstance(v, np.ndarray)}
            found.append({**row, "seed": seed, **values})
    return found


def main(argv=None):
    parents = argparse.ArgumentParser(add_help=False)
    parents.add_argument("--part", choices=PARTS, help="one part alone (default: all)")
    options = parse("Reinforcement learning with a Rényi entropy bonus.", seeds=5, argv=argv, parents=[parents])
    for name in [options.part] if options.part else PARTS:
        part = importlib.import_module(f"rl_{name}")
        settings = part.settings(options.full)
        rows = together(part.run, settings, seeds=options.seeds, workers=options.workers, description=name)
        write_csv(rows, options.output / f"rl_{name}.csv")
        print_table(part.table(rows), by=part.Setting._fields, measures=list(part.MEASURES), digits=part.MEASURES)
        print(f"Mean ± standard deviation over the seeds.\n{part.LEGEND}")
        figure = Figure(figsize=(6.4, 7.2), layout="constrained")
        part.draw(rows, figure)
        figure.savefig(options.output / f"rl_{name}.png", dpi=110)
        print(f"Runs and figure: {options.output / f'rl_{name}.csv'}, {options.output / f'rl_{name}.png'}\n")


if __name__ == "__main__":
    main()
