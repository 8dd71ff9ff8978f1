#!/usr/bin/env bash
# DuckDB and Polars: entropy of a column is two different things under one name. DuckDB counts how often each value
# occurs, in bits; Polars takes the values themselves for weights, in nats. A column of probabilities moved from one to
# the other still gives a plausible number. A probability of 0 makes Polars' entropy NaN, where 0 · log 0 is taken for 0
# elsewhere; in DuckDB it is one more value that occurs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q duckdb==2.0.1 polars==2.1.0
"$work/venv/bin/python" - <<'PYTHON'
import math

import duckdb
import polars

print("duckdb", duckdb.__version__, "polars", polars.__version__)
columns = {"probabilities": [0.5, 0.25, 0.25], "with a zero": [0.5, 0.5, 0.0], "labels": [1.0, 2.0, 3.0, 4.0]}
found = {}
for name, column in columns.items():
    rows = ", ".join(f"({value})" for value in column)
    [(counted,)] = duckdb.sql(f"select entropy(p) from (values {rows}) t(p)").fetchall()
    found[name] = counted, polars.Series(column).entropy()
    print(f"{name:14} {column!s:22} DuckDB {found[name][0]:.4f}, Polars {found[name][1]:.4f}")


def nats(weights):
    return -sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights)


assert math.isclose(found["probabilities"][0], nats([1, 2]) / math.log(2))
assert math.isclose(found["probabilities"][1], nats([0.5, 0.25, 0.25]))
assert math.isclose(found["with a zero"][0], nats([2, 1]) / math.log(2))
assert math.isnan(found["with a zero"][1])
assert found["labels"][0] == 2
assert math.isclose(found["labels"][1], nats([1, 2, 3, 4]))
PYTHON
