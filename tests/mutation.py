"""Mutation testing by mutmut: ``python tests/mutation.py [file ...]``, as ``nox -s mutation`` runs it.

The files are kernels of renyi_core and those of the adapter for NumPy. Each is changed in one place at a time, in a
copy of the checkout, and the tests that TESTS names for it are run until one fails. Files with more mutants than
``--sample`` have as many drawn at random from them, always the same ones. A table of the scores is written, and a list
of the mutants that no test noticed, each with its difference.
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
ENGINE = "not agnostic and not hill and not tsallis and not hessian"
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
    "choice": (["test_choice.py", "test_choice_search.py"], "not best and not many and not no_distribution"),
    "choice_search": (["test_choice_search.py", "test_choice.py"], "not bad and not shapes"),
    "sources": (["test_divergence.py", *ENTROPY], f"{SHARE} and not hessian"),
    "entropy": (ENTROPY, f"{SHARE} and not (hessian and not masked)"),
    "numpy._entropy": (
        ["test_numpy_adapter.py", "test_accuracy.py", "test_properties.py"],
        "not agnostic and not hill and not wide",
    ),
    "numpy._walk": (["test_numpy_adapter.py", "test_properties.py", "test_divergence.py"], "not agnostic and not wide"),
    "numpy._formula": (["test_numpy_adapter.py", "test_accuracy.py", "test_properties.py"], ENGINE),
    "numpy._pairs": (
        ["test_divergence.py", "test_numpy_adapter.py"],
        "(divergence and not agnostic) or pairs or without_rows",
    ),
    "numpy._rows": (
        ["test_choice_search.py", "test_choice.py", "test_divergence.py", "test_gaussian.py"],
        "(many_rows or shapes or masks or batches) and not agnostic",
    ),
}
"""For each file, the tests that are asked: files, and which of theirs (``pytest -k``)."""
CONFIGURATION = """
[tool.mutmut]
source_paths = ["renyi_core", "renyi_adapters", "renyi_training"]
only_mutate = ["{path}"]
pytest_add_cli_args = ["--backends=numpy", "--full", "-q", "-p", "no:cacheprovider", "-k", "{keep}"]
pytest_add_cli_args_test_selection = [{tests}]
timeout_multiplier = 15.0
timeout_constant = 5.0
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
KILLED = {1, 3}
"""Exit codes of mutants that a test notices. One that runs out of time survives: it may be slow and nothing else."""


def source(name: str) -> str:
    """Return where a file lies in the copy, in which the packages are next to each other."""
    kernel = f"renyi_core/_kernels/{name}.py"
    return kernel if (ROOT / kernel).exists() else f"renyi_adapters/{name.replace('.', '/')}.py"


def prepare(name: str, work: Path) -> tuple[Path, dict[str, str]]:
    """Copy what the tests need, and return where to and the environment to run in."""
    tree = work / name
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("renyi_core", "adapters/renyi_adapters", "adapters/renyi_training", "tests"):
        target = tree / Path(folder).name
        shutil.copytree(ROOT / folder, target, ignore=shutil.ignore_patterns("__pycache__"))
    files, keep = TESTS[name]
    tests = ", ".join(f'"tests/{file}"' for file in files)
    configuration = CONFIGURATION.format(path=source(name), tests=tests, keep=keep)
    (tree / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8") + configuration, "utf-8")
    with (tree / "tests" / "conftest.py").open("a", encoding="utf-8") as file:
        file.write(SHRINK_NOTHING)
    # there from the start: Python does not look again for a folder that it has missed
    (tree / "mutants").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tree / "mutants"), "OMP_NUM_THREADS": "1"}
    return tree, environment


def run(name: str, work: Path, sample: int) -> tuple[dict[str, int], int, str]:
    """Return the exit code of each mutant tried, how many there are in all, and the differences of the survivors."""
    tree, environment = prepare(name, work)
    path = source(name)

    def python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tree, env=environment, text=True, check=True, **options)  # type: ignore[call-overload]

    names = json.loads(python("-c", NAMES, path, stdout=subprocess.PIPE).stdout)
    chosen = names if len(names) <= sample else sorted(random.Random(name).sample(names, sample))
    with (tree / "log").open("w") as log:
        python("-m", "mutmut", "run", "--max-children=1", *chosen, stdout=log, stderr=log)
    codes = json.loads((tree / "mutants" / f"{path}.meta").read_text("utf-8"))["exit_code_by_key"]
    codes = {mutant: codes[mutant] for mutant in chosen}
    lived = [mutant for mutant in chosen if codes[mutant] not in KILLED]
    shown = [python("-m", "mutmut", "show", mutant, stdout=subprocess.PIPE).stdout for mutant in lived]
    return codes, len(names), "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", choices=[*TESTS, []], help="all by default")
    parser.add_argument("--sample", type=int, default=60, help="mutants of each file")
    parser.add_argument("--work", type=Path, required=True, help="a directory for the copies")
    options = parser.parse_args()
    out = options.work / "mutation_scores.csv"
    options.work.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "mutants", "tried", "killed", "survived"])
        for name in options.files or TESTS:
            codes, total, differences = run(name, options.work, options.sample)
            killed = sum(code in KILLED for code in codes.values())
            odd = {mutant: code for mutant, code in codes.items() if code not in KILLED | {0}}
            table.writerow([name, total, len(codes), killed, len(codes) - killed])
            file.flush()
            (options.work / f"{name}.diff").write_text(differences, "utf-8")
            sys.stdout.write(f"{name}: {killed} of {len(codes)} killed; out of time or without tests {odd}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
