"""Mutation testing of the kernels by mutmut: ``python tests/mutation.py [kernel ...]``, as ``nox -s mutation`` runs it.

Each file is changed in one place at a time, in a copy of the checkout, and the tests that TESTS names for it are run
until one fails. Files with more mutants than ``--sample`` have as many drawn at random from them, always the same ones.
A table of the scores is written, and a list of the mutants that no test noticed, each with its difference.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENTROPY = ["test_known_values.py", "test_accuracy.py", "test_properties.py"]
SHARE = "agnostic and not float16 and not float32"
TESTS = {
    "state": (["test_state.py", *ENTROPY], "agnostic and not hessian and not float16"),
    "divergence": (["test_divergence.py"], "not agnostic and not float32"),
    "jensen": (["test_jensen.py"], "not agnostic and not float32"),
    "cross_entropy": (["test_pair_measures.py"], "cross and not agnostic and not float32"),
    "gaussian": (["test_gaussian.py"], "not much"),
    "orders": (["test_densities.py", "test_gaussian.py"], "integral or near or entropy or limits"),
    "measures": (ENTROPY, f"{SHARE} and not hessian"),
    "information": (["test_information.py"], "not agnostic and not float32"),
    "choice": (["test_choice.py"], "not (grid and float64)"),
    "doors": (["test_divergence.py", *ENTROPY], f"{SHARE} and not hessian"),
    "entropy": (ENTROPY, f"{SHARE} and not (hessian and not masked)"),
}
"""For each file of renyi_core/_kernels, the tests that are asked: files, and which of theirs (``pytest -k``)."""
CONFIGURATION = """
[tool.mutmut]
source_paths = ["renyi_core"]
only_mutate = ["renyi_core/_kernels/{kernel}.py"]
pytest_add_cli_args = ["--backends=numpy", "-q", "-p", "no:cacheprovider", "-k", "{keep}"]
pytest_add_cli_args_test_selection = [{tests}]
timeout_multiplier = 15.0
timeout_constant = 20.0
use_git_change_detection = false
use_setproctitle = false
"""
SHRINK_NOTHING = """
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    max_examples=40,
    derandomize=True,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
"""
"""For the end of conftest.py: that a property fails is enough."""
NAMES = """
import json, sys
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name
from pathlib import Path
path = Path(sys.argv[1])
print(json.dumps([get_mutant_name(path, name) for name in mutate_file_contents(path, path.read_text()).mutant_names]))
"""
KILLED, SURVIVED = {1, 3, 24, 36, 152, -24, 255}, {0}
"""Exit codes; those of a mutant that runs without end count as killed."""


def prepare(kernel: str, work: Path) -> tuple[Path, dict[str, str]]:
    """Copy what the tests need, and return where to and the environment to run in."""
    tree = work / kernel
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("renyi_core", "adapters", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    files, keep = TESTS[kernel]
    tests = ", ".join(f'"tests/{name}"' for name in files)
    configuration = CONFIGURATION.format(kernel=kernel, tests=tests, keep=keep)
    (tree / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8") + configuration, "utf-8")
    with (tree / "tests" / "conftest.py").open("a", encoding="utf-8") as file:
        file.write(SHRINK_NOTHING)
    environment = {**os.environ, "PYTHONPATH": str(tree / "adapters"), "OMP_NUM_THREADS": "1"}
    return tree, environment


def run(kernel: str, work: Path, sample: int) -> tuple[dict[str, int], int, str]:
    """Return the exit code of each mutant tried, how many there are in all, and the differences of the survivors."""
    tree, environment = prepare(kernel, work)
    path = f"renyi_core/_kernels/{kernel}.py"

    def python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tree, env=environment, text=True, check=True, **options)  # type: ignore[call-overload]

    names = json.loads(python("-c", NAMES, path, stdout=subprocess.PIPE).stdout)
    chosen = names if len(names) <= sample else sorted(random.Random(kernel).sample(names, sample))
    with (tree / "log").open("w") as log:
        python("-m", "mutmut", "run", "--max-children=1", *chosen, stdout=log, stderr=log)
    codes = json.loads((tree / "mutants" / f"{path}.meta").read_text("utf-8"))["exit_code_by_key"]
    codes = {name: codes[name] for name in chosen}
    lived = [name for name in chosen if codes[name] in SURVIVED]
    shown = [python("-m", "mutmut", "show", name, stdout=subprocess.PIPE).stdout for name in lived]
    return codes, len(names), "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernels", nargs="*", choices=[*TESTS, []], help="files of renyi_core/_kernels; all by default")
    parser.add_argument("--sample", type=int, default=60, help="mutants of each file")
    parser.add_argument("--work", type=Path, required=True, help="a directory for the copies")
    options = parser.parse_args()
    out = options.work / "mutation_scores.csv"
    options.work.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["kernel", "mutants", "tried", "killed", "survived"])
        for kernel in options.kernels or TESTS:
            codes, total, survivors = run(kernel, options.work, options.sample)
            lived = sum(code in SURVIVED for code in codes.values())
            killed = sum(code in KILLED for code in codes.values())
            odd = {name: code for name, code in codes.items() if code not in KILLED | SURVIVED}
            table.writerow([kernel, total, len(codes), killed, lived])
            file.flush()
            (options.work / f"{kernel}.diff").write_text(survivors, "utf-8")
            sys.stdout.write(f"{kernel}: {killed} of {len(codes)} killed, {lived} survived, the others {odd}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
