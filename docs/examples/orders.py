"""Draw what the order does to one distribution: whom it counts, and whom its gradient moves.

    python docs/examples/orders.py [--output orders.png]

The distribution of docs/tutorials/orders.md: one dominant outcome, three common ones and thirty rare ones.
"""

import argparse
from pathlib import Path

import numpy as np

import renyi_core as renyi

PROBS = np.asarray([0.7] + 3 * [0.09] + 30 * [0.001])
GROUPS = {
    "the dominant outcome, 0.7": slice(0, 1),
    "three common ones, 0.09 each": slice(1, 4),
    "thirty rare ones, 0.001 each": slice(4, 34),
}
COLORS = ("#b3261e", "#0b4f8a", "#0b6e4f")
ORDERS = np.geomspace(1 / 16, 16, 161)
TICKS = (1 / 16, 1 / 4, 1 / 2, 1, 2, 4, 16)
STYLE = {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 13}


def pushes(alphas):
    """Return ∂H_α/∂logits summed over each group, of shape (groups, orders)."""
    logits = np.broadcast_to(np.log(PROBS), (len(alphas), len(PROBS)))
    gradient = renyi.grad(renyi.entropy_from_logits)(logits, np.asarray(alphas))
    return np.stack([gradient[:, group].sum(axis=-1) for group in GROUPS.values()])


def draw(path):
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context(STYLE):
        figure, (count, push) = plt.subplots(2, 1, figsize=(6.4, 7.6), layout="constrained")
        for axes in (count, push):
            axes.set_xscale("log", base=2)
            axes.set_xticks(TICKS, ["1/16", "1/4", "1/2", "1", "2", "4", "16"])
            axes.set_xlabel("order α")
            axes.grid(visible=True, color="0.92")
            axes.axvline(1, color="0.75", linewidth=1)
        count.plot(ORDERS, renyi.hill_number(np.broadcast_to(PROBS, (len(ORDERS), 34)), ORDERS), color="0.15", lw=3)
        for level, x, text in ((34, 16, "34 possible outcomes: α = 0"), (1 / 0.7, 1 / 16, "1/0.7: α = ∞")):
            count.axhline(level, color="0.55", linestyle="--", linewidth=1)
            count.text(x, level * 1.06, text, ha="right" if x == 16 else "left", va="bottom", color="0.35")
        count.set_yscale("log")
        count.set_ylim(1.1, 55)
        count.set_yticks([1.5, 2, 5, 10, 20], ["1.5", "2", "5", "10", "20"])
        count.minorticks_off()
        count.set_title("How many outcomes are counted, exp H_α", loc="left", fontweight="bold")
        places = ((16, -0.2), (16, 0.17), (1 / 16, 0.38))
        for values, label, color, (x, y) in zip(pushes(ORDERS), GROUPS, COLORS, places, strict=True):
            push.plot(ORDERS, values, color=color, linewidth=3)
            side = "right" if x == 16 else "left"
            push.text(x, y, label.replace(", ", ",\n"), color=color, ha=side, va="center")
        push.axhline(0, color="0.3", linewidth=1)
        push.set_title("Whom a step along its gradient moves", loc="left", fontweight="bold")
        push.set_ylabel("∂H_α/∂logit, summed over the group")
        figure.savefig(path, dpi=125, facecolor="white", metadata={"Software": None})
        plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("orders.png"))
    draw(parser.parse_args().output)


if __name__ == "__main__":
    main()
