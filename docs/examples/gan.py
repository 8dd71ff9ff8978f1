"""Keep a GAN from collapsing onto a few modes, by the matrix-based Rényi entropy of the batches that it generates.

The data are the two mixtures of Gaussians on which collapse is usually measured: 8 on a ring, 25 on a grid. The
generator's loss gets one more term, minus beta times the entropy of order alpha of the kernel matrix of its batch,
which grows as samples move apart. Run it with

    python docs/examples/gan.py

It prints modes covered and the share of good samples, and draws the samples. ``--full`` repeats what docs/gan.md shows.
"""

import functools
import itertools
import math
from typing import NamedTuple

import torch
from harness import parse, print_table, study, write_csv
from matplotlib.figure import Figure
from torch.nn.functional import softplus

import renyi_core as renyi
from renyi_core.regularizers import DiversityTerm
from renyi_core.schedules import Piecewise

ORDERS = {"1/2": 0.5, "1": 1.0, "2": 2.0, "4": 4.0}
LATENT, WIDTH, BATCH, LEARNING_RATE = 2, 128, 128, 1e-3
SAMPLES = 2500  # that the measures are taken of


class Mixture(NamedTuple):
    """Gaussians of equal weight, and how a GAN learns them."""

    centers: torch.Tensor
    deviation: float
    unit: float  # the networks see the data divided by it
    steps: int


ANGLES = torch.arange(8) * (math.pi / 4)
LINE = torch.arange(-4.0, 5.0, 2.0)
MIXTURES = {
    "ring": Mixture(torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1), 0.01, 1.0, 3000),
    "grid": Mixture(torch.cartesian_prod(LINE, LINE), 0.05, 4.0, 6000),
}


class Setting(NamedTuple):
    """What the runs differ in: the data, the order, the weight and the width of the kernel in units of the data."""

    data: str
    alpha: str
    beta: float
    sigma: float


MAIN = [
    *(Setting("ring", alpha, beta, 0.25) for alpha, beta in (("none", 0.0), ("1", 0.1), ("2", 0.1))),
    *(Setting("grid", alpha, beta, 0.6) for alpha, beta in (("none", 0.0), ("2", 1.0))),
]
FURTHER = [*(Setting("ring", alpha, 0.1, 0.25) for alpha in ("1/2", "4")), Setting("ring", "2", 0.1, 1.0)]
# modes covered and good samples in %: A. Srivastava et al., "VEEGAN: reducing mode collapse in GANs using implicit
# variational learning", NIPS 2017, table 1
PUBLISHED = {
    "ring": {"GAN": (1, 99.3), "ALI": (2.8, 0.13), "unrolled GAN": (7.6, 35.6), "VEEGAN": (8, 52.9)},
    "grid": {"GAN": (3.3, 0.5), "ALI": (15.8, 1.6), "unrolled GAN": (23.6, 16), "VEEGAN": (24.6, 40)},
}
COLORS = {"none": "#e08a3c", "1": "#8a8f98", "2": "#0b5d8a"}
MEASURES = ("modes", "quality", "effective")


def uniform(inputs, shape):
    return torch.empty(shape).uniform_(-(inputs**-0.5), inputs**-0.5)


class Networks(torch.nn.Module):
    """Networks of two hidden layers, one for each run, that share nothing: their matrices are multiplied as a batch."""

    def __init__(self, runs, outputs):
        super().__init__()
        sizes = list(itertools.pairwise((LATENT, WIDTH, WIDTH, outputs)))
        # as torch.nn.Linear begins
        self.matrices = torch.nn.ParameterList(uniform(n, (runs, n, m)) for n, m in sizes)
        self.shifts = torch.nn.ParameterList(uniform(n, (runs, 1, m)) for n, m in sizes)

    def forward(self, x):
        for layer, (shift, matrix) in enumerate(zip(self.shifts, self.matrices, strict=True)):
            x = torch.baddbmm(shift, x if layer == 0 else x.relu(), matrix)
        return x


def draw(mixture, *shape):
    """Return samples of the data."""
    centers = mixture.centers[torch.randint(len(mixture.centers), shape)]
    return centers + mixture.deviation * torch.randn(*shape, 2)


def descend(optimizer, losses):
    """Take a step for every run; the losses, of shape (runs, batch), are means over the batch."""
    optimizer.zero_grad()
    losses.mean(dim=1).sum().backward(inputs=optimizer.param_groups[0]["params"])
    optimizer.step()


def train(setting, runs, steps):
    """Return samples of each run's generator after training, shape (runs, samples, 2)."""
    mixture = MIXTURES[setting.data]
    generator, discriminator = Networks(runs, 2), Networks(runs, 1)
    optimizer, opponent = (
        torch.optim.Adam(networks.parameters(), LEARNING_RATE, fused=True) for networks in (generator, discriminator)
    )
    order, width = ORDERS.get(setting.alpha, 2.0), setting.sigma / mixture.unit
    term = DiversityTerm(alpha=order, bandwidth=width, reduction="none")  # one value a batch
    rate = Piecewise([(steps / 2, LEARNING_RATE), (steps, LEARNING_RATE / 20)], interpolation="linear")
    weight = Piecewise([(steps / 2, setting.beta), (steps, 0.0)], interpolation="linear")

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = opponent.param_groups[0]["lr"] = rate(step)
        real, fake = draw(mixture, runs, BATCH) / mixture.unit, generator(torch.randn(runs, BATCH, LATENT))
        on_real, on_fake = discriminator(torch.cat([real, fake.detach()], dim=1)).chunk(2, dim=1)
        descend(opponent, softplus(-on_real) + softplus(on_fake))
        # The second term is all that keeps the modes: -weight * S_alpha of the kernel matrix of each run's batch.
        descend(optimizer, softplus(-discriminator(fake)) + term(fake, weight=weight(step))[:, None, None])
    with torch.no_grad():
        return mixture.unit * generator(torch.randn(runs, SAMPLES, LATENT))


def measure(samples, mixture):
    """Return the VEEGAN paper's two measures, and how evenly the modes are used.

    A sample is good within three standard deviations of its nearest center; a mode is covered if a good sample is
    nearest to it. "effective" is the effective number of modes, exp of Shannon's entropy of the shares of good samples.
    """
    distance, nearest = torch.cdist(samples, mixture.centers).min(dim=1)
    good = distance <= 3 * mixture.deviation
    counts = torch.bincount(nearest[good], minlength=len(mixture.centers)).double()
    return {
        "modes": int((counts > 0).sum()),
        "quality": 100 * float(good.double().mean()),
        "effective": float(renyi.hill_number(counts / counts.sum(), 1)) if counts.sum() else 0.0,
    }


def run(setting, seed, runs, steps=None):
    """Train a GAN ``runs`` times, all at once."""
    torch.manual_seed(seed)
    mixture = MIXTURES[setting.data]
    samples = train(setting, runs, steps or mixture.steps)
    return {"runs": [{"run": i, **measure(x, mixture), "samples": x.numpy()} for i, x in enumerate(samples)]}


def setting_of(row):
    return Setting(*(row[field] for field in Setting._fields))


def name(alpha):
    return "β = 0" if alpha == "none" else f"α = {alpha}"


def draw_samples(axes, row, mixture):
    """Draw what a generator makes, good samples dark, each center as a circle."""
    samples = torch.from_numpy(row["samples"])
    good = torch.cdist(samples, mixture.centers).min(dim=1).values <= 3 * mixture.deviation
    axes.scatter(*mixture.centers.T, s=60, facecolors="none", edgecolors="0.75", linewidths=0.8)
    axes.scatter(*samples[~good].T, s=1.5, color="#e08a3c", alpha=0.35, linewidths=0)
    axes.scatter(*samples[good].T, s=5, color="#0b5d8a", alpha=0.6, linewidths=0)
    reach = 1.3 * float(mixture.centers.abs().max())
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
    share = f"{row['modes']} modes, {row['quality']:.0f} % good"
    axes.set_title(f"{row['data']}, {name(row['alpha'])}\n{share}", fontsize=9)
    axes.spines[:].set_color("0.8")


def draw_runs(axes, rows, data):
    """Draw modes against quality, a point a run, beside what other methods are reported to reach."""
    for alpha in dict.fromkeys(row["alpha"] for row in rows):
        same = [row for row in rows if row["alpha"] == alpha]
        axes.scatter(
            [row["quality"] for row in same],
            [row["modes"] for row in same],
            s=26,
            alpha=0.75,
            linewidths=0,
            color=COLORS[alpha],
            label=name(alpha),
        )
    for method, (modes, quality) in PUBLISHED[data].items():
        axes.plot(quality, modes, "k+", markersize=6)
        side = "right" if quality > 80 else "left" if quality < 10 else "center"
        axes.annotate(
            method, (quality, modes), xytext=(0, -11), textcoords="offset points", ha=side, fontsize=7, color="0.25"
        )
    most = len(MIXTURES[data].centers)
    axes.axhline(most, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlim=(-3, 103), ylim=(-0.04 * most, 1.06 * most), xlabel="good samples [%]", ylabel=f"modes of {most}")
    axes.set_title(f"{data}, every run", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="lower center")
    axes.spines[["top", "right"]].set_visible(False)


def plot(rows, path):
    """Draw the samples of the first run of each main setting, and all its runs as points."""
    main = [row for row in rows if setting_of(row) in MAIN]
    parts = {data: [row for row in main if row["data"] == data] for data in MIXTURES}
    figure = Figure(figsize=(6.4, 9), layout="constrained")
    grid = figure.add_gridspec(3, 6, height_ratios=[2.2, 3, 2.4])
    for i, (data, part) in enumerate(parts.items()):
        first = [row for row in part if row["run"] == 0]
        columns = 6 // len(first)
        for j, row in enumerate(first):
            draw_samples(figure.add_subplot(grid[i, j * columns : (j + 1) * columns]), row, MIXTURES[data])
        draw_runs(figure.add_subplot(grid[2, 3 * i : 3 * (i + 1)]), part, data)
    figure.savefig(path, dpi=120)


def main(argv=None):
    options = parse(__doc__.partition("\n")[0], seeds=8, argv=argv)
    settings = [*MAIN, *FURTHER] if options.full else MAIN
    trained = study(
        functools.partial(run, runs=options.seeds), settings, seeds=1, workers=options.workers, description="settings"
    )
    rows = [{**{name: row[name] for name in Setting._fields}, **one} for row in trained for one in row["runs"]]
    plot(rows, options.output / "gan.png")
    for row in rows:
        del row["samples"]
    write_csv(rows, options.output / "gan.csv")
    print_table(rows, by=Setting._fields, measures=MEASURES, digits=1)
    print("modes: covered; quality: good samples in %; effective: number of modes, evenly used; over the seeds.")


if __name__ == "__main__":
    main()
