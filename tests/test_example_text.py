"""The application to text: its parts, its claim in small, its page, and the whole of it from end to end."""

from __future__ import annotations

import importlib
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.regularizers import EntropyBonus, LabelSmoothing

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
DOCS = Path(__file__).parent.parent / "docs"
RESULTS = DOCS / "examples" / "results"
SMALL = {"vocabulary": 300, "paragraphs": 150, "embedding": 48, "hidden": 64, "batch": 8, "rate": 0.02, "texts": 24}


@pytest.fixture(scope="module")
def modules():
    """Return the example's modules, as its script imports them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS / "examples")
        return [importlib.import_module(name) for name in ("text", "text_model", "text_measures", "harness")]


def test_measures(modules):
    measures = modules[2]
    # of 5 bigrams two came before; of 5 + 2, four are different
    texts = [list("ababab"), list("bac")]
    assert measures.repeated(texts[:1], n=2) == pytest.approx(3 / 5)
    assert measures.repeated(texts, n=2) == pytest.approx((3 / 5 + 0) / 2)
    assert measures.distinct(texts) == pytest.approx(3 / 7)


def test_self_bleu(modules):
    measures = modules[2]
    rng = np.random.default_rng(0)
    texts = rng.integers(0, 4, size=(6, 20)).tolist()
    expected = []
    for i, text in enumerate(texts):
        others = texts[:i] + texts[i + 1 :]
        precisions = []
        for n in range(1, 5):
            count = Counter(tuple(text[j : j + n]) for j in range(21 - n))
            references = [Counter(tuple(other[j : j + n]) for j in range(21 - n)) for other in others]
            clipped = sum(min(k, max(r[gram] for r in references)) for gram, k in count.items())
            precisions.append(max(clipped, 0.5) / (21 - n))
        expected.append(math.prod(precisions) ** 0.25)
    assert measures.self_bleu(texts) == pytest.approx(sum(expected) / 6)
    assert measures.self_bleu([texts[0], texts[0]]) == pytest.approx(1)


def test_nothing_is_in_two_parts(modules):
    corpus = modules[1].load(100_000)
    parts = [{tuple(words) for words in part} for part in corpus[1:]]
    assert [len(part) for part in parts] == [len(part) for part in corpus[1:]]
    assert not parts[0] & (parts[1] | parts[2])
    assert not parts[1] & parts[2]
    sizes = [sum(map(len, part)) for part in parts]
    assert sizes[0] > 40_000
    assert min(sizes[1:]) > 4_000
    # words of the training alone make the vocabulary
    assert {token for words in parts[0] for token in words} | {1} == set(range(len(corpus.words)))


@pytest.mark.parametrize("term", [EntropyBonus(alpha=2.0, weight=0.3), LabelSmoothing(weight=0.3)], ids=repr)
def test_objective(modules, term):
    """It has the gradient of cross-entropy + term, label smoothing by torch's own too."""
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(20, 7, generator=generator, dtype=torch.float64)).requires_grad_()
    targets = torch.randint(7, (20,), generator=generator)
    (gradient,) = torch.autograd.grad(modules[1].objective(term, logits, targets), logits)
    probs = torch.softmax(logits.detach(), dim=1)
    expected = (probs - torch.nn.functional.one_hot(targets, 7)) / 20 + renyi.grad(term)(logits.detach())
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.9])
def test_smoothing_and_bonus_are_one_family(alpha):
    """D_(1−α)(u‖p) = (1 − α)/α · (log n − H_α(p)): as the page says."""
    logits = torch.tensor([[0.0, 1.0, 3.0, -2.0]], dtype=torch.float64)
    smoothing = LabelSmoothing(alpha=1 - alpha)(logits)
    bonus = EntropyBonus(alpha=alpha)(logits)
    torch.testing.assert_close(smoothing, (1 - alpha) / alpha * (math.log(4) + bonus), rtol=1e-12, atol=0)


def test_best_temperature(modules):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator, dtype=torch.float64)
    targets = torch.multinomial(torch.softmax(logits / 1.7, dim=1), 1, generator=generator)[:, 0]
    found = modules[1].best_temperature(logits, targets)
    assert found == pytest.approx(1.7, rel=0.1)
    loss = [torch.nn.functional.cross_entropy(logits / t, targets) for t in (found / 1.01, found, found * 1.01)]
    assert loss[1] == min(loss)


def test_claim(modules):
    """As trained, with a bonus of any order the model is softer and its texts are more diverse; perplexity is lower.

    The margins are half of what was measured at the least, and twice or more the deviation over seeds.
    """
    text, language = modules[:2]
    plan = language.Plan(**SMALL, epochs=8, length=60)
    trained = {
        term: text.at(text.run(text.Setting(term, weight), 0, plan)["points"], "trained")[0]
        for term, weight in {"none": 0.0, "α = 1/2": 0.3, "Shannon": 0.3, "α = 2": 0.3}.items()
    }
    none = trained.pop("none")
    for term, found in trained.items():
        assert found["entropy"] > none["entropy"] + 0.4, term
        assert found["distinct bigrams"] > none["distinct bigrams"] + 0.05, term
        assert found["self-BLEU"] < none["self-BLEU"] - 0.03, term
    assert sum(found["perplexity"] for found in trained.values()) / 3 < 0.97 * none["perplexity"]


def test_operating_points(modules):
    text = modules[0]
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(2000, 200, generator=generator)
    targets = torch.multinomial(torch.softmax(logits / 2, dim=1), 1, generator=generator)[:, 0]
    points = text.operating_points((logits, targets), (logits, targets))
    for entropy in text.ENTROPIES:
        assert text.mean_entropy(logits / points[f"entropy {entropy:g}"]) == pytest.approx(entropy, abs=1e-3)
    assert text.perplexity((logits, targets), points["perplexity"]) == pytest.approx(text.PERPLEXITY, rel=1e-3)
    assert points["perplexity"] < points["best"]
    # nowhere as good as that
    assert "perplexity" not in text.operating_points((logits, targets), (logits, targets.flip(0)))


def test_end_to_end(modules, tmp_path, monkeypatch, capsys):
    text, language, _, harness = modules
    monkeypatch.setattr(text, "PLAN", language.Plan(**SMALL | {"texts": 4}, epochs=1, length=12))
    text.main(["--seeds", "2", "--workers", "1", "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    assert all(title in printed for title, _ in text.TABLES.values())
    rows = harness.read_csv(tmp_path / "text.csv")
    assert len(harness.groups(rows, ("term", "weight", "seed"))) == 2 * len(text.WEIGHTS)
    assert (tmp_path / "text.png").read_bytes().startswith(b"\x89PNG")


def cells(same, columns, digits):
    found = []
    for name in columns:
        values = [row[name] for row in same]
        places = digits[name]
        found.append(f"{np.mean(values):.{places}f} ± {np.std(values, ddof=1):.{places}f}")
    return found


# in the order of the page, whose first columns are what a phone shows
SHOWN = ("perplexity", "distinct bigrams", "self-BLEU", "repeated 4-grams", "entropy", "temperature")


def page_tables(text, rows):
    """Return the lines of the page's tables."""
    weights = text.best_weights(rows)
    for point, (_, columns) in text.TABLES.items():
        shown = rows if point == "trained" else text.only(rows, weights)
        measures = [name for name in SHOWN if name in columns]
        for (term, weight), same in text.by_setting(text.at(shown, point)).items():
            yield f"| {term} | " + " | ".join(cells(same, measures, text.DIGITS)) + f" | {weight:g} |"
    for term, weight in weights.items():
        if term != "none":
            changes = [
                text.change(text.only(rows, weights), term, f"entropy {entropy:g}") for entropy in text.ENTROPIES
            ]
            yield f"| {term} | {weight:g} | " + " | ".join(f"{m:+.1f} ± {d:.1f}" for m, d in changes) + " |"


def test_page(modules):
    text, _, _, harness = modules
    page = (DOCS / "text.md").read_text(encoding="utf-8")
    rows = harness.read_csv(RESULTS / "text.csv")
    assert text.best_weights(rows) == text.WEIGHTS
    expected = list(page_tables(text, rows))
    shown = [line for line in page.splitlines() if "±" in line and line.startswith("| ")]
    assert shown == expected
    (real,) = harness.read_csv(RESULTS / "text_real.csv")
    assert "| " + " | ".join(f"{real[name]:.3f}" for name in text.MEASURES[1:]) + " |" in page
    plan = text.PLAN
    words = " ".join(page.split())
    for part in (
        f"The vocabulary is the {plan.vocabulary - 2} most",
        f"GRU of {plan.hidden} units, embeddings of {plan.embedding},",
        f"{plan.epochs} epochs over the shuffled paragraphs in {plan.batch} rows, windows of {plan.window} words",
        f"rises to {plan.rate}",
        f"Of {plan.texts} texts of {plan.length} words",
    ):
        assert part in words


def test_what_the_page_says(modules):
    """Seed by seed, or against the deviation over the seeds."""
    text, _, _, harness = modules
    rows = harness.read_csv(RESULTS / "text.csv")

    def values(term, point, measure):
        return np.asarray(
            [row[measure] for row in text.at(text.only(rows, text.WEIGHTS), point) if row["term"] == term]
        )

    for term in ("α = 1/2", "Shannon", "α = 2", "smoothing"):
        # every term does as trained what it is for
        for measure, sign in (("perplexity", -1), ("distinct bigrams", 1), ("self-BLEU", -1)):
            difference = values(term, "trained", measure) - values("none", "trained", measure)
            assert (sign * difference > 0).all(), (term, measure)
        # and is then no better than without it, once both have their temperature
        for measure, sign in (("perplexity", -1), ("distinct bigrams", 1), ("self-BLEU", -1)):
            difference = values(term, "best", measure) - values("none", "best", measure)
            assert sign * difference.mean() < difference.std(ddof=1), (term, measure)
    assert (values("smoothing", "best", "perplexity") < values("none", "best", "perplexity")).sum() == 3
    # at one entropy, and at the diversity of the test text, this is the order of the perplexities
    order = ("smoothing", "Shannon", "none", "α = 2")
    means = [values(term, "entropy 2", "perplexity").mean() for term in order]
    assert means == sorted(means)
    (real,) = harness.read_csv(RESULTS / "text_real.csv")
    for measure in ("distinct bigrams", "self-BLEU"):
        away = {term: abs(values(term, "trained", measure).mean() - real[measure]) for term in text.WEIGHTS}
        assert min(away, key=away.get) == "none"
    crossings = []
    for term in order:
        x, y = (
            [values(term, f"entropy {entropy:g}", measure).mean() for entropy in text.ENTROPIES]
            for measure in ("distinct bigrams", "perplexity")
        )
        crossings.append(np.interp(real["distinct bigrams"], x, np.log(y)))
    assert crossings == sorted(crossings)
    # the texts of α = 2 are the more diverse ones there, and at one perplexity
    for point in ("entropy 2", "perplexity"):
        for measure, sign in (("distinct bigrams", 1), ("self-BLEU", -1)):
            difference = values("α = 2", point, measure) - values("none", point, measure)
            assert sign * difference.mean() > difference.std(ddof=1), (point, measure)
