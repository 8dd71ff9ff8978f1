"""What the four applications share: runs over settings and seeds, a progress bar, a table, a CSV file.

A run is a function of a setting (a NamedTuple) and a seed, at the top level of its module, that returns
``{measure: number}``. The runs are spread over processes of one thread each, so a run's result depends on its setting
and its seed alone.
"""

import argparse
import csv
import multiprocessing
import os
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def parse(description, *, seeds, argv=None, parents=()):
    """Read the command line that every application has; ``parents``: parsers of the options that one has besides."""
    parser = argparse.ArgumentParser(description=description, parents=parents)
    parser.add_argument("--full", action="store_true", help="the complete sweep, whose results the docs draw")
    parser.add_argument("--seeds", type=int, default=seeds, help=f"runs of each setting (default: {seeds})")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of the CSV file and the figure")
    options = parser.parse_args(argv)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2, for a standard deviation")
    if options.workers < 1:
        parser.error("--workers must be at least 1")
    options.output.mkdir(parents=True, exist_ok=True)
    return options


def study(run, settings, *, seeds, workers=1, description="runs"):
    """Return one row a setting and seed, ``{**setting, "seed": seed, **run(setting, seed)}``, in that order."""
    tasks = [(setting, seed) for setting in settings for seed in range(seeds)]
    results = {}
    with tqdm(total=len(tasks), desc=description, unit="run", smoothing=0) as progress:
        for task, result in results_of(run, tasks, workers):
            results[task] = result
            progress.update()
    return [{**task[0]._asdict(), "seed": task[1], **results[task]} for task in tasks]


def results_of(run, tasks, workers):
    """Yield each (setting, seed) with what its run returns, as they end."""
    if workers == 1:
        for task in tasks:
            yield task, run(*task)
        return
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read by the processes as they start
    try:
        # a fresh interpreter each: threads of the libraries do not survive a fork
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(run, *task): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def groups(rows, by):
    """Return ``{values of the columns by: their rows}``, in the order of the first ones."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in by), []).append(row)
    return found


def moments(rows, measure):
    """Return the mean of a measure and its standard deviation over the rows."""
    values = [row[measure] for row in rows]
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def print_table(rows, *, by, measures, digits=2):
    """Print mean ± standard deviation of the measures for each setting; ``digits`` may be a dict."""
    header = [*by, *measures]
    lines = []
    for setting, same in groups(rows, by).items():
        cells = [f"{value:g}" if isinstance(value, float) else str(value) for value in setting]
        for measure in measures:
            places = digits.get(measure, 2) if isinstance(digits, dict) else digits
            mean, deviation = moments(same, measure)
            cells.append(f"{mean:.{places}f} ± {deviation:.{places}f}")
        lines.append(cells)
    widths = [max(len(cells[i]) for cells in [header, *lines]) for i in range(len(header))]
    print()
    for cells in [header, *lines]:
        print("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)))


def write_csv(rows, path):
    """Write one line a run; numbers to five significant digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(f"{v:.5g}" if isinstance(v, float) else v for v in row.values())


def read_csv(path):
    """Return the rows of `write_csv`, numbers as numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _number(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
