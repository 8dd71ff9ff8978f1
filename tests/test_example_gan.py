"""docs/examples/gan.py: its claim in small, its page against its results, and the script."""

from __future__ import annotations

import importlib
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
    """Make the ring's Gaussians so wide, and the networks so small, that seconds of training show the effect."""
    monkeypatch.setattr(gan, "WIDTH", 64)
    monkeypatch.setitem(gan.MIXTURES, "ring", gan.MIXTURES["ring"]._replace(deviation=0.08))
    return gan


def effective(gan, alpha, weight):
    """Return the effective number of modes of four short runs."""
    trained = gan.run(gan.Setting("ring", alpha, weight, 0.25), seed=0, runs=3, steps=200)
    return [run["effective"] for run in trained["runs"]]


def test_measures(gan):
    mixture = gan.MIXTURES["ring"]
    c = mixture.centers
    samples = torch.cat([c[:1], c[:1] + 0.022, c[1:2] + torch.tensor([0.029, 0.0]), c[2:3] + 0.5, c[1:2]])
    found = gan.measure(samples, mixture)  # good within 0.03: the second is 0.0311 away
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


def test_the_term_keeps_the_modes(wide):
    assert max(effective(wide, "none", 0.0)) < 4
    assert min(effective(wide, "2", 0.3)) > 5.5


def test_with_the_wrong_sign_it_does_not(wide, monkeypatch):
    term = wide.DiversityTerm

    def turned(**options):
        return lambda samples, weight: -term(**options)(samples, weight=weight)

    monkeypatch.setattr(wide, "DiversityTerm", turned)
    assert max(effective(wide, "2", 0.3)) < 4


def table(rows, gan):
    from harness import groups, moments

    lines = []
    for (data, alpha, beta, sigma), same in groups(rows, gan.Setting._fields).items():
        cells = [data]
        for measure, unit in (("effective", ""), ("modes", ""), ("quality", " %")):
            mean, deviation = moments(same, measure)
            cells.append(f"{mean:.1f} ± {deviation:.1f}{unit}")
        setting = ("–", "0", "–") if alpha == "none" else (str(alpha), f"{beta:g}", f"{sigma:g}")
        lines.append("| " + " | ".join([*cells, *setting, str(len(same))]) + " |")
    return lines


def test_page(gan):
    from harness import read_csv

    rows = read_csv(DOCS / "examples" / "results" / "gan.csv")
    found = [(*(str(row[name]) for name in ("data", "alpha")), row["beta"], row["sigma"], row["run"]) for row in rows]
    assert found == [(*setting, run) for setting in (*gan.MAIN, *gan.FURTHER) for run in range(8)]
    assert re.findall(r"^\| (?:ring|grid) \|.*$", PAGE, flags=re.MULTILINE) == table(rows, gan)


def test_what_the_page_reads_from_it(gan):
    from harness import groups, moments, read_csv

    rows = groups(read_csv(DOCS / "examples" / "results" / "gan.csv"), ("data", "alpha", "beta", "sigma"))
    without, ring = rows["ring", "none", 0, 0.25], [rows["ring", a, 0.1, 0.25] for a in ("1/2", 1, 2, 4)]
    assert {row["modes"] for row in without} >= {0, 8}
    assert max(row["effective"] for row in without) < 6
    assert f"{moments(without, 'effective')[0]:.1f} effective modes on average" in " ".join(PAGE.split())
    modes, quality = (moments(rows["ring", 2, 0.1, 1], measure)[0] for measure in ("modes", "quality"))
    assert f"{modes:.1f} modes and {quality:.1f} % on average" in " ".join(PAGE.split())
    for same in ring:
        assert all(row["modes"] == 8 and row["quality"] > 75 and row["effective"] > 7 for row in same)
    assert sorted(row["modes"] for row in rows["grid", 2, 1, 0.6]) == [24, *7 * [25]]


def test_lines_shown():
    source = (DOCS / "examples" / "gan.py").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    shown = [line for line in block.splitlines() if line != "..."]
    assert len(shown) == 2
    assert all(f"    {line}\n" in source for line in shown)


def test_reported_figures(gan):
    lines = re.findall(r"^\| ([\w ]+), reported \| (.*) \|$", PAGE, flags=re.MULTILINE)
    expected = {
        method: " | ".join(
            f"{number:g}{unit}"
            for data in ("ring", "grid")
            for number, unit in zip(gan.PUBLISHED[data][method], ("", " %"), strict=True)
        )
        for method in gan.PUBLISHED["ring"]
    }
    assert dict(lines) == expected


def test_script(gan, tmp_path, monkeypatch, capsys):
    for name, mixture in list(gan.MIXTURES.items()):
        monkeypatch.setitem(gan.MIXTURES, name, mixture._replace(steps=3))
    monkeypatch.setattr(gan, "FURTHER", gan.FURTHER[:1])
    for options, runs in (([], 5), (["--full"], 6)):
        gan.main([*options, "--seeds", "2", "--workers", "1", "--output", str(tmp_path)])
        assert len((tmp_path / "gan.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * runs
        assert (tmp_path / "gan.png").stat().st_size > 10_000
        assert "quality" in capsys.readouterr().out
