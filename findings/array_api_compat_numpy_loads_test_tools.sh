#!/usr/bin/env bash
# array_api_compat.array_namespace(x) of a NumPy array, asked for the first time, imports every part of NumPy that NumPy
# itself loads only when it is asked for: f2py, the test tools with unittest and argparse, polynomials. It wraps a star
# import. A thin library that only wants to know whose array it was given spends some 60 ms of its first call on it.
# NumPy >= 2.1 is a namespace of the standard itself: array_namespace(x, use_compat=False) gives it and imports nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q array-api-compat==1.16.0 numpy==2.4.6
for wrapped in None False; do
  "$work/venv/bin/python" - "$wrapped" <<'PYTHON'
import sys
import time

import array_api_compat
import numpy as np

x, before, start = np.ones(3), set(sys.modules), time.process_time()
xp = array_api_compat.array_namespace(x, use_compat={"None": None, "False": False}[sys.argv[1]])
spent = time.process_time() - start
new = set(sys.modules) - before
tools = sorted({"numpy.f2py", "numpy.testing", "unittest", "argparse", "numpy.polynomial"} & new)
print(f"array-api-compat {array_api_compat.__version__}, numpy {np.__version__}, use_compat={sys.argv[1]}:")
print(f"  {xp.__name__}, {len(new)} modules more in {1000 * spent:.0f} ms, of them {tools}")
assert (len(tools) == 5, len(new) > 50) == ((True, True) if sys.argv[1] == "None" else (False, False)), (tools, len(new))
PYTHON
done
