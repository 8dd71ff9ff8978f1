#!/usr/bin/env bash
# torch.compile, a Python float that changes from call to call: what is done with it decides how often it compiles.
# Added to a tensor, it becomes an input of the graph, and two graphs serve every value (the first takes the first value
# for a constant). As what fills a new tensor (torch.full), or as the exponent of a power of a tensor, it is a constant
# of a graph for each value, until the limit of recompilations: then the function runs uncompiled, with a warning only.
# With backends that do not pass through AOTAutograd (backend="eager", or a callable that returns the graph) all three
# take two graphs, so a count of compilations by such a backend, as tests have it, does not show it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q torch==2.13.0 numpy==2.3.5
"$work/venv/bin/python" - <<'PYTHON'
import torch

USES = {
    "x * (0 + number)": lambda x, number: x * (torch.zeros(()) + number),
    "x * full(number)": lambda x, number: x * torch.full((), number),
    "x ** number": lambda x, number: x**number,
}


def graphs(f, backend):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled, x = torch.compile(f, backend=backend), torch.tensor([1.0, 2.0])
    for number in (0.6, 0.7, 0.8, 0.9, 1.1):
        torch.testing.assert_close(compiled(x, number), f(x, number))
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


found = {(name, backend): graphs(f, backend) for name, f in USES.items() for backend in ("eager", "aot_eager")}
print("torch", torch.__version__)
for (name, backend), count in found.items():
    print(f"{name:18} backend={backend:10} graphs of 5 values: {count}")
assert found == {
    ("x * (0 + number)", "eager"): 2,
    ("x * (0 + number)", "aot_eager"): 2,
    ("x * full(number)", "eager"): 2,
    ("x * full(number)", "aot_eager"): 5,
    ("x ** number", "eager"): 2,
    ("x ** number", "aot_eager"): 5,
}, found
PYTHON
