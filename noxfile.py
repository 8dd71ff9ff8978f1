"""The sessions: ``nox`` runs the tests on NumPy with the interpreter at hand; ``nox -l`` lists the others.

``tests`` is a matrix of Python versions × array libraries. A library's own pin can be passed to pip by a constraint
file, ``PIP_CONSTRAINT=constraints.txt nox -s "tests-3.11(torch)"``; interpreters that are missing are skipped.
"""

from __future__ import annotations

import os

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"

PYTHONS = ["3.11", "3.12", "3.13"]
BACKENDS = {
    "numpy": [],
    "strict": [],
    "torch": ["torch>=2.6"],
    "jax": ["jax>=0.5"],
    "dask": ["dask[array]>=2025.1", "distributed"],
}
INTEGRATIONS = {
    "sb3": [["sb3"], [], ["tests/test_stable_baselines3.py", "tests/test_stable_baselines3_entropies.py"]],
    "huggingface": [
        ["transformers", "trl"],
        ["tokenizers", "datasets"],
        ["tests/test_transformers.py", "tests/test_transformers_loss.py", "tests/test_trl.py"],
    ],
    "page": [["transformers", "trl", "lightning", "jax"], ["optax", "flax"], ["tests/test_training_page.py"]],
}
EXAMPLES = {
    "rl": [],
    "gan": ["torch>=2.6"],
    "text": ["torch>=2.6"],
    "clustering": [],
}
FLOORS = ["numpy==2.1.0", "array-api-compat==1.12.0", "array-api-strict==2.4.1"]
BARE = """
import sys, time
start = time.perf_counter()
import renyi_core
elapsed = time.perf_counter() - start
known = {"numpy", "torch", "jax", "dask", "cupy", "scipy"}
assert not known & set(sys.modules), known & set(sys.modules)
import importlib.util
assert importlib.util.find_spec("numpy") is None, "this session must have no array library at all"
print(f"import renyi_core: {elapsed * 1e3:.0f} ms")
"""


def _tests(session: nox.Session, backend: str, *requirements: str) -> None:
    # Dask's workers import the tests from the checkout
    in_place = ["-e"] if backend == "dask" else []
    session.install(*in_place, ".[test]", *requirements)
    session.run("pytest", f"--backends={backend}", *session.posargs)


@nox.session(default=True)
def tests_here(session: nox.Session) -> None:
    """Run the tests on NumPy and array-api-strict with the interpreter that runs nox."""
    _tests(session, "numpy,strict")


@nox.session(python=PYTHONS, default=False)
@nox.parametrize("backend", list(BACKENDS), ids=list(BACKENDS))
def tests(session: nox.Session, backend: str) -> None:
    """Run the tests on one Python version and one array library."""
    _tests(session, backend, *BACKENDS[backend])


@nox.session(python="3.11", default=False)
def floor(session: nox.Session) -> None:
    """Run the tests on the oldest versions that pyproject.toml admits."""
    _tests(session, "numpy,strict", *FLOORS)


@nox.session(default=False)
def bare(session: nox.Session) -> None:
    """Import the library with nothing else installed."""
    session.install(".")
    session.run("python", "-c", BARE)


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Run the tests marked ``gpu`` on the libraries that are installed already: a CUDA build is not ours to choose."""
    session.run("python", "-m", "pytest", "-m", "gpu", *session.posargs, external=True)


@nox.session(python="3.11", default=False)
def kernels(session: nox.Session) -> None:
    """Check the CUDA and Triton kernels without a GPU: emulated, interpreted, and compiled ahead of time."""
    compilers = ["triton", "cupy-cuda12x>=13.4", "cuda-pathfinder", "nvidia-cuda-nvrtc-cu12"]
    session.install(".[test]", "torch>=2.6", *compilers)
    cuda = ["tests/test_cuda_plan.py", "tests/test_cuda_source.py", "tests/test_cuda_compile.py"]
    session.run("pytest", "--backends=numpy", *cuda, *session.posargs)
    session.run("pytest", "--backends=torch", "tests/test_triton.py", *session.posargs)


@nox.session(default=False)
@nox.parametrize("framework", list(INTEGRATIONS), ids=list(INTEGRATIONS))
def integrations(session: nox.Session, framework: str) -> None:
    """Train with a framework that an adapter serves, on the CPU."""
    extras, requirements, files = INTEGRATIONS[framework]
    session.install(f".[{','.join(['test', 'torch', *extras])}]", *requirements)
    session.run("pytest", "--backends=torch", *files, *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Call everything at random: ``FUZZ_EXAMPLES=100000 nox -s fuzz -- --backends=torch`` for longer, or elsewhere."""
    session.install(".[test]", *(["torch>=2.6"] if "--backends=torch" in session.posargs else []))
    count = os.environ.get("FUZZ_EXAMPLES", "5000")
    files = ["tests/test_fuzz.py", "tests/test_fuzz_state.py"]
    session.run("pytest", "--backends=numpy", *files, *session.posargs, env={"FUZZ_EXAMPLES": count})


@nox.session(default=False)
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(default=False)
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    session.install(".[numpy]", "mypy>=1.14")
    session.run("mypy")


@nox.session(default=False)
def quickstart(session: nox.Session) -> None:
    """Train a classifier with the entropy bonus and draw what α does."""
    session.install(".[examples]")
    session.run("python", "docs/examples/quickstart.py", *session.posargs)


@nox.session(default=False)
def example(session: nox.Session) -> None:
    """Run an application and print its table: ``nox -s example -- rl|gan|text|clustering [--full]``."""
    names, options = session.posargs[:1], session.posargs[1:]
    if not names or names[0] not in EXAMPLES:
        session.error(f"which one? nox -s example -- {'|'.join(EXAMPLES)} [--full]")
    session.install(".[examples]", *EXAMPLES[names[0]])
    session.run("python", f"docs/examples/{names[0]}.py", *options)


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Measure speed and memory against the textbook formula."""
    session.install(".[numpy]")
    session.run("python", "benchmarks/numpy_engine.py", *session.posargs)
