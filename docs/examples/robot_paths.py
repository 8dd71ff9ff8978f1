"""Draw the paths of three robots, the picture of the README.

    python docs/examples/robot_paths.py [--output robot_paths.png]

The settings, and the numbers above the rooms, are those of results/rl_robot.csv. The first robot of each is trained
again, which takes seconds, and walks a hundred times.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import rl_grid
import rl_robot
from harness import groups, moments, read_csv
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results" / "rl_robot.csv"
TITLES = {0.0: "No bonus", 1.0: "Shannon’s entropy, α = 1", 2.0: "Rényi’s entropy, α = 2"}
COLOR = "#0b4f8a"
WALKS, ASIDE = 100, 0.3  # each walk is drawn a little aside, so that all of them are seen


def rooms(rows):
    """Return the setting of each room, and the mean number of shortest paths that its robots use."""
    best = {}
    for setting, same in groups(rl_robot.table(rows), rl_robot.Setting._fields).items():
        best.setdefault(setting[0] if setting[1] > 0 else 0.0, (setting, moments(same, "paths")[0]))
    return [best[order] for order in TITLES]


def walks(setting, generator):
    """Return the cells of the walks of the first robot, of shape (walks, steps)."""
    world = rl_robot.OPEN
    logits = rl_grid.train(world, alpha=setting[0], weight=setting[1], seeds=[0], iterations=rl_robot.ITERATIONS)
    levels = np.exp(rl_grid.log_softmax(logits[0])).cumsum(axis=-1)[:, :-1]
    cells = [np.full(WALKS, world.start)]
    for _ in range(rl_grid.HORIZON):
        here = cells[-1]
        actions = (generator.random((WALKS, 1)) > levels[here]).sum(axis=-1)
        cells.append(np.where(world.payoff[here] > 0, here, world.following[here, actions]))
    return np.stack(cells, axis=1)


def draw(rows, path):
    side = rl_robot.SIDE
    total = math.comb(2 * side - 2, side - 1)
    generator = np.random.default_rng(0)
    figure = Figure(figsize=(9, 3.55))
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.01, top=0.84, wspace=0.03)
    for axes, title, (setting, paths) in zip(figure.subplots(1, 3), TITLES.values(), rooms(rows), strict=True):
        aside = generator.uniform(-ASIDE, ASIDE, (WALKS, 2, 1))
        for row, column in np.stack(np.divmod(walks(setting, generator), side), axis=1) + aside:
            axes.plot(column, row, color=COLOR, alpha=0.35, lw=1)
        box = {"facecolor": "white", "edgecolor": COLOR, "boxstyle": "round,pad=0.25"}
        for cell, name in ((0, "start"), (side - 1, "goal")):
            axes.text(cell, cell, name, ha="center", va="center", size=11, weight="bold", bbox=box)
        edges = np.arange(side + 1) - 0.5
        axes.set_xticks(edges, [])
        axes.set_yticks(edges, [])
        axes.tick_params(length=0)
        axes.grid(color="0.87")
        axes.set(xlim=edges[[0, -1]], ylim=edges[[-1, 0]], aspect="equal")
        axes.text(0.5, 1.105, title, transform=axes.transAxes, ha="center", size=12)
        axes.set_title(f"{paths:.0f} of {total} paths", size=14, weight="bold")
    figure.savefig(path, dpi=110, facecolor="white", metadata={"Software": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("robot_paths.png"))
    draw(read_csv(RESULTS), parser.parse_args().output)


if __name__ == "__main__":
    main()
