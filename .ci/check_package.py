"""Check what a release uploads: ``python -m build --outdir DIST && python .ci/check_package.py DIST``.

The wheel in DIST is built from the sdist, with RENYI_NATIVE=0: the pure one. It must hold the packages as the checkout
has them and nothing else; the sdist must hold all that the checkout tracks; and a wheel built from the checkout itself
must be the same.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "renyi_core": ROOT / "renyi_core",
    "renyi_adapters": ROOT / "adapters" / "renyi_adapters",
    "renyi_training": ROOT / "adapters" / "renyi_training",
}
NEEDED = {
    "renyi_core/py.typed",
    "renyi_adapters/py.typed",
    "renyi_training/py.typed",
    "renyi_adapters/cupy/kernels.cu",
    "renyi_adapters/cupy/state.cuh",
    "renyi_adapters/cupy/device.cuh",
}


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def only(folder: Path, pattern: str) -> Path:
    """Return the one file of that name."""
    (found,) = folder.glob(pattern)
    return found


def same(what: str, found: set[str], expected: set[str]) -> None:
    """Exit unless two sets of names are the same."""
    if found != expected:
        sys.exit(f"{what}: lacks {sorted(expected - found)}, has besides {sorted(found - expected)}")


def listed(*options: str) -> set[str]:
    """Return the files that git knows."""
    command = ["git", "ls-files", *options]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines())


def main(dist: Path) -> None:
    """Check both files."""
    if shutil.which("git") is None:
        sys.exit("needs git, which says what the checkout tracks; there is none on PATH")
    sdist, path = only(dist, "*.tar.gz"), only(dist, "*.whl")
    wheel = contents(path)
    expected = {
        f"{name}/{file.relative_to(folder).as_posix()}": file.read_bytes()
        for name, folder in PACKAGES.items()
        for file in folder.rglob("*")
        # what is compiled in the checkout is no source
        if file.is_file() and file.parent.name != "__pycache__" and not file.name.startswith("engine-")
    }
    metadata = {name for name in wheel if ".dist-info/" in name}
    same("the wheel", set(wheel) - metadata, set(expected))
    same("what the wheel must have", NEEDED & set(wheel), NEEDED)
    same(
        "the wheel's metadata",
        {n.split("/", 1)[1] for n in metadata},
        {"METADATA", "WHEEL", "RECORD", "licenses/LICENSE"},
    )
    if any(wheel[name] != data for name, data in expected.items()):
        sys.exit("a file of the wheel is not that of the checkout")

    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    # what is not tracked yet may be in it, what is ignored may not
    new = listed("--others", "--exclude-standard")
    same("the sdist", names - {"PKG-INFO"} - new, listed())

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(ROOT)]
        subprocess.run(command, check=True, capture_output=True)
        again = contents(only(Path(folder), "*.whl"))
    if again != wheel:
        sys.exit("the wheel built from the checkout is not the one built from the sdist")
    for file, count in ((path, len(wheel)), (sdist, len(names))):
        print(f"{file.name}: {count} files, {file.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
