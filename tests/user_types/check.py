"""Check with mypy and pyright what the library, installed, tells a user's type checker.

``user.py`` must pass, strictly, and ``wrong.py`` have its errors on the lines that say so and on no other;
``user_libraries.py`` must pass where torch and JAX are installed.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MYPY = ("mypy", "--strict", "--config-file=", "--no-incremental")
PYRIGHT = ("basedpyright", "--level=error", f"--pythonpath={sys.executable}")


def errors(command: tuple[str, ...], name: str, folder: str) -> tuple[set[int], str]:
    """Return the lines of a copy, outside of the checkout, that a checker finds wrong, and what it says."""
    copy = Path(folder) / name
    copy.write_text((HERE / name).read_text(encoding="utf-8"), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", *command, name], cwd=folder, capture_output=True, text=True, check=False
    )
    found = re.findall(rf"{re.escape(name)}:(\d+):.*\berror\b", result.stdout)
    if result.returncode not in {0, 1} or (result.returncode == 1) != bool(found):
        sys.exit(f"{command[0]} failed:\n{result.stdout}{result.stderr}")
    return {int(line) for line in found}, result.stdout


def main() -> None:
    """Run both checkers on both programs."""
    lines = (HERE / "wrong.py").read_text(encoding="utf-8").splitlines()
    expected = {"user.py": set(), "wrong.py": {i for i, line in enumerate(lines, 1) if line.endswith("# wrong")}}
    if importlib.util.find_spec("torch") and importlib.util.find_spec("jax"):
        expected["user_libraries.py"] = set()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"typeCheckingMode": "strict", "reportPrivateUsage": "none"}
        (Path(folder) / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
        for command in (MYPY, PYRIGHT):
            for name, wanted in expected.items():
                found, output = errors(command, name, folder)
                if found != wanted:
                    sys.exit(f"{command[0]}, {name}: missed {wanted - found}, besides {found - wanted}\n{output}")
                print(f"{command[0]}, {name}: {len(found)} errors, as expected")


if __name__ == "__main__":
    main()
