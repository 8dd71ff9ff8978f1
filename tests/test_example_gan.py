"""docs/examples/gan.py: its claim in small, its page against its results, and the script."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "gan.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def gan():
    """Return the example as a module; its folder is on the path, as when it is run."""
    folder = str(DOCS / "examples")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("gan")
    finally:
        sys.path.remove(folder)
        for module in ("gan", "harness"):
            sys.modules.pop(module, None)


@pytest.fixture
def wide(gan, monkeypatch):
    """Make the ring's Gaussians so wide that few steps of training find them."""
    monkeypatch.setitem(gan.MIXTURES, "ring", gan.MIXTURES["ring"]._replace(deviation=0.08))
    return gan


def effective(gan, weight, steps=300):
    alpha = "none" if weight == 0 else "2"
    runs = [gan.run(gan.Setting("ring", alpha, weight, 0.25), seed, steps) for seed in range(3)]
    return [run["effective"] for run in runs]


def test_measures(gan):
    mixture = gan.MIXTURES["ring"]
    c = mixture.centres
    samples = torch.cat([c[:1], c[:1] + 0.029, c[1:2] + torch.tensor([0.029, 0.0]), c[2:3] + 0.5, c[1:2]])
    found = gan.measure(samples, mixture)  # the second is 0.041 away, good would be 0.03
    assert found["modes"] == 2
    assert found["quality"] == pytest.approx(60)
    assert found["effective"] == pytest.approx(3 / 4 ** (1 / 3))  # exp of the entropy of (1/3, 2/3)
    nothing = gan.measure(torch.full((10, 2), 50.0), mixture)
    assert nothing == {"modes": 0, "quality": 0.0, "effective": 0.0}


def test_data(gan):
    torch.manual_seed(0)
    for name, modes in (("ring", 8), ("grid", 25)):
        found = gan.measure(gan.draw(gan.MIXTURES[name], 2500), gan.MIXTURES[name])
        assert found["modes"] == modes
        assert found["effective"] > 0.98 * modes
        assert 98 < found["quality"] < 99.8  # 1 - exp(-9/2) = 98.9 % of a Gaussian in the plane


def test_claim(wide):
    without, with_term = effective(wide, 0.0), effective(wide, 0.3)
    assert max(without) + 1.5 < min(with_term)
    assert min(with_term) > 6


def test_a_wrong_sign_fails(wide):
    assert max(effective(wide, -0.3)) < 6


def table(rows, gan):
    from harness import groups, moments

    lines = []
    for setting, same in groups(rows, gan.Setting._fields).items():
        data, alpha, beta, sigma = setting
        cells = [data, "–" if alpha == "none" else str(alpha), f"{beta:g}", "–" if alpha == "none" else f"{sigma:g}"]
        for measure, unit in (("modes", ""), ("quality", " %"), ("effective", "")):
            mean, deviation = moments(same, measure)
            cells.append(f"{mean:.1f} ± {deviation:.1f}{unit}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def test_page(gan):
    from harness import read_csv

    rows = read_csv(DOCS / "examples" / "results" / "gan.csv")
    settings = [*gan.MAIN, *gan.FURTHER]
    assert [tuple(row.values())[:4] for row in rows[::8]] == [
        tuple(int(v) if v in {"1", "2", "4"} else v for v in setting) for setting in settings
    ]
    assert [row["seed"] for row in rows] == 8 * len(rows) // 64 * list(range(8))
    lines = re.findall(r"^\| (?:ring|grid) .*$", PAGE, flags=re.MULTILINE)
    assert lines == table(rows, gan)
    for data, methods in gan.PUBLISHED.items():
        for method, (modes, quality) in methods.items():
            assert re.search(rf"^\| {method}, reported \|.*\b{modes:g}\b.*{quality:g} %", PAGE, flags=re.MULTILINE), (
                data
            )


def test_script(gan, tmp_path, monkeypatch, capsys):
    for name in gan.MIXTURES:
        monkeypatch.setitem(gan.MIXTURES, name, gan.MIXTURES[name]._replace(steps=3))
    gan.main(["--seeds", "2", "--workers", "1", "--output", str(tmp_path)])
    assert len((tmp_path / "gan.csv").read_text().splitlines()) == 1 + 3 * 2
    assert (tmp_path / "gan.png").stat().st_size > 10_000
    assert "quality" in capsys.readouterr().out
    monkeypatch.setattr(gan, "FURTHER", gan.FURTHER[:1])
    gan.main(["--full", "--seeds", "2", "--workers", "1", "--output", str(tmp_path)])
    assert len((tmp_path / "gan.csv").read_text().splitlines()) == 1 + 7 * 2
