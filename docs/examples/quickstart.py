"""Train a softmax classifier whose confidence is held back by a Rényi entropy, in plain NumPy.

The loss is cross-entropy - beta * mean H_alpha(softmax(logits)). Trained on few images, the plain classifier (beta = 0)
is over-confident; the entropy keeps its predictions softer. The order alpha says which of the classes count: a small
alpha gives weight to the unlikely ones, alpha = inf only to the most likely one. Run it with

    python docs/examples/quickstart.py

It takes about half a minute, prints a table and what to notice in it, and saves a figure. All are means over several
training sets.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler, add_dummy_feature
from tqdm import tqdm

import renyi_core as renyi

ALPHAS = {"1/2": 0.5, "1": 1.0, "2": 2.0, "inf": math.inf}
# The same for every alpha, so that none has more tries than another. All are below 1: at alpha = inf the entropy is
# -log max p, and beta = 1 would cancel the cross-entropy of every right answer.
BETAS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
N_TRAIN = N_VALIDATION = 150
LEARNING_RATE, MOMENTUM = 0.3, 0.9
SPECTRUM_ORDERS = np.geomspace(0.1, 20, 40)

entropy_and_gradient = renyi.value_and_grad(renyi.entropy_from_logits)


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def train(x, y, alpha, beta, epochs):
    """Minimize the loss by gradient descent on all training images at once."""
    weights = np.zeros((x.shape[1], 10))
    velocity = np.zeros_like(weights)
    one_hot = np.eye(10)[y]
    for _ in range(epochs):
        logits = x @ weights
        gradient = (np.exp(log_softmax(logits)) - one_hot) / len(x)  # of the mean cross-entropy
        if beta > 0:
            # This is all that the bonus takes: the gradient of the sum of cotangent * H_alpha over the images.
            _, bonus = entropy_and_gradient(logits, alpha, cotangent=-beta / len(x))
            gradient += bonus
        velocity = MOMENTUM * velocity - LEARNING_RATE * (x.T @ gradient)
        weights += velocity
    return weights


def negative_log_likelihood(logits, y):
    return -log_softmax(logits)[np.arange(len(y)), y].mean()


def answers(logits, y):
    """Return which answers are right, and the probability that the model gives to each."""
    return logits.argmax(axis=-1) == y, np.exp(log_softmax(logits)).max(axis=-1)


def calibration_error(logits, y, bins=15):
    correct, confidence = answers(logits, y)
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    return np.abs(np.bincount(which, weights=correct - confidence)).sum() / len(y)


def spectrum(logits, _):
    return renyi.entropy_spectrum_from_logits(logits, SPECTRUM_ORDERS).mean(axis=0)


METRICS = {
    "accuracy": lambda logits, y: answers(logits, y)[0].mean(),
    "confidence": lambda logits, y: answers(logits, y)[1].mean(),
    "ECE": calibration_error,
    "NLL [nats]": negative_log_likelihood,
    "H_1 [nats]": lambda logits, _: renyi.entropy_from_logits(logits, 1).mean(),
}


def load_splits(seeds):
    """Return training, validation and test images for each seed; the test images are the same for all."""
    images, labels = load_digits(return_X_y=True)
    pool_x, test_x, pool_y, test_y = train_test_split(images, labels, test_size=0.5, stratify=labels, random_state=0)
    splits = []
    for seed in range(seeds):
        train_x, validation_x, train_y, validation_y = train_test_split(
            pool_x, pool_y, train_size=N_TRAIN, test_size=N_VALIDATION, stratify=pool_y, random_state=seed
        )
        scaler = StandardScaler().fit(train_x)
        parts = {"train": (train_x, train_y), "validation": (validation_x, validation_y), "test": (test_x, test_y)}
        # The dummy feature, always 1, serves as the bias.
        splits.append({part: (add_dummy_feature(scaler.transform(x)), y) for part, (x, y) in parts.items()})
    return splits


def train_all(splits, epochs):
    """Return {(alpha's name, beta): the weights for each seed}."""
    settings = [("none", 0.0), *((name, beta) for name in ALPHAS for beta in BETAS)]
    models = {setting: [] for setting in settings}
    with tqdm(total=len(settings) * len(splits), desc="training", unit="model") as progress:
        for name, beta in settings:
            for split in splits:
                models[name, beta].append(train(*split["train"], ALPHAS.get(name), beta, epochs))
                progress.update()
    return models


def evaluate(metric, weights, splits, part):
    """Return the metric for each seed."""
    return np.asarray([metric(split[part][0] @ w, split[part][1]) for w, split in zip(weights, splits, strict=True)])


def choose_betas(models, splits):
    """Return {alpha's name: the beta with the lowest validation NLL, mean over the seeds}."""
    chosen = {"none": 0.0}
    for name in ALPHAS:
        losses = [evaluate(negative_log_likelihood, models[name, beta], splits, "validation").mean() for beta in BETAS]
        chosen[name] = BETAS[int(np.argmin(losses))]
    return chosen


def print_table(chosen, results):
    print(f"\n{'alpha':>5}  {'beta':>4}  " + "  ".join(f"{metric:^13}" for metric in METRICS))
    for name, beta in chosen.items():
        cells = [f"{values.mean():.3f} ± {values.std(ddof=1):.3f}" for values in results[name].values()]
        print(f"{name:>5}  {beta:4.2f}  " + "  ".join(cells))
    print(
        "Test images, mean ± standard deviation over the training sets. confidence: the probability that the model\n"
        "gives to its answer. ECE: expected calibration error, how far confidence and accuracy are apart, in 15 bins\n"
        "of equal width. NLL: negative log-likelihood. H_1: Shannon entropy of the predictions, in every row.\n"
        f"beta: the one with the lowest NLL on validation images, of {', '.join(map(str, BETAS))}.\n"
    )


def notice(results):
    """Say what the table shows of calibration beside accuracy."""
    means = {name: {metric: values.mean() for metric, values in row.items()} for name, row in results.items()}
    best = min(means, key=lambda name: means[name]["ECE"])
    plain, held = means["none"], means[best]
    spread = {metric: 100 * np.ptp([row[metric] for row in means.values()]) for metric in ("accuracy", "confidence")}
    return (
        f"What to notice: without a bonus the model is {plain['confidence']:.1%} sure of its answers, and "
        f"{plain['accuracy']:.1%} of them are\n"
        f"right. With alpha = {best} it is {held['confidence']:.1%} sure, and {held['accuracy']:.1%} are right: "
        f"the calibration error goes from\n"
        f"{plain['ECE']:.3f} to {held['ECE']:.3f}. From row to row, accuracy differs by at most "
        f"{spread['accuracy']:.1f} points and confidence by {spread['confidence']:.1f}.\n"
    )


def remark(metric, results):
    best = min(results, key=lambda name: results[name][metric].mean())
    alike, worse = [], []
    for name in results:
        if name != best:
            difference = results[name][metric] - results[best][metric]  # paired: each training set with itself
            (alike if difference.mean() <= difference.std(ddof=1) else worse).append(name)
    alike, worse = (", ".join(names) or "no other" for names in (alike, worse))
    return (
        f"Lowest {metric}: alpha = {best}. Within one standard deviation of the difference: {alike}; beyond: {worse}."
    )


def draw(chosen, models, splits, path):
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    calibration, spectra = figure.subplots(1, 2)
    calibration.plot([0, 1], [0, 1], color="0.8")
    before = evaluate(spectrum, [np.zeros_like(w) for w in models["none", 0.0]], splits, "test").mean(axis=0)
    spectra.plot(SPECTRUM_ORDERS, before, color="0.6", label="before")
    for index, (name, beta) in enumerate(chosen.items()):
        label = "after, β = 0" if name == "none" else f"after, α = {name.replace('inf', '∞')}, β = {beta}"
        style = {"color": "k", "ls": "--"} if name == "none" else {"color": f"C{index - 1}"}
        weights = models[name, beta]
        values = evaluate(spectrum, weights, splits, "test").mean(axis=0)
        spectra.plot(SPECTRUM_ORDERS, values, label=label, **style)
        correct, confidence = np.hstack(
            [answers(x @ w, y) for w, (x, y) in zip(weights, (split["test"] for split in splits), strict=True)]
        )
        right, sure = calibration_curve(correct, confidence, n_bins=8, strategy="quantile")
        calibration.plot(sure, right, marker="o", ms=4, **style)
    calibration.set(xlim=(0.4, 1), ylim=(0.4, 1), xlabel="probability of the answer", ylabel="share that is right")
    calibration.set_title("Calibration: on the gray line the model is as sure as it is right")
    spectra.set(xscale="log", xlabel="order α of the spectrum")
    spectra.set(yscale="log", ylabel="mean $H_α$ of the predictions [nats]")
    spectra.set_title("Entropy spectra before and after training")
    for axis, ticks in (
        (spectra.xaxis, (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)),
        (spectra.yaxis, (0.05, 0.1, 0.2, 0.5, 1, 2)),
    ):
        axis.set_ticks(ticks, map(str, ticks))
        axis.set_ticks([], minor=True)
    spectra.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main(argv=None):
    parser = argparse.ArgumentParser(description="A softmax classifier regularized by a Rényi entropy.")
    parser.add_argument("--epochs", type=int, default=150, help="steps of gradient descent (default: 150)")
    parser.add_argument("--seeds", type=int, default=5, help="number of training sets, at least 2 (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("quickstart.png"), help="where the figure goes")
    options = parser.parse_args(argv)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2, for a standard deviation")

    splits = load_splits(options.seeds)
    models = train_all(splits, options.epochs)
    chosen = choose_betas(models, splits)
    results = {
        name: {metric: evaluate(f, models[name, beta], splits, "test") for metric, f in METRICS.items()}
        for name, beta in chosen.items()
    }
    print_table(chosen, results)
    print(notice(results))
    print(remark("NLL [nats]", results), remark("ECE", results), sep="\n")
    if any(beta in (BETAS[0], BETAS[-1]) for beta in chosen.values()):
        print("A beta chosen is the first or last of those tried: others might do better.")
    print(f"Every row is the model after {options.epochs} steps; stopping early or weight decay are not compared.")
    print("One small data set, one linear model: it shows how to use the library, not which regularizer is best.")
    draw(chosen, models, splits, options.output)
    print(f"Figure: {options.output.resolve()}")


if __name__ == "__main__":
    main()
