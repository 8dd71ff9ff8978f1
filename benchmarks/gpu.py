"""On a GPU, side by side with what people write: time, fraction of the memory's speed, and memory.

    python benchmarks/gpu.py [--only torch,cupy,linear] [--minutes 8] [--out benchmarks/results/gpu.md]
    python benchmarks/gpu.py --dry-run        # tiny shapes on the CPU: that the script runs, and nothing else

Times are the device's (events, behind work that is under way and has emptied the cache), medians of rounds in which
the contestants alternate. The limit is what must move, at the speed of a copy measured here: the logits once forward,
and forward + backward the logits twice and the gradient once. ``peak`` is the memory beyond the logits.
"""

from __future__ import annotations

import argparse
import importlib
import math
import statistics
import time
from pathlib import Path

import renyi_core as renyi

SHAPES = [
    (8192, 151_936, "half"),
    (4096, 32_000, "half"),
    (4096, 32_000, "float32"),
    (64, 150_000, "float32"),
    (1, 1_000_000, "float32"),
    (1_000_000, 10, "float32"),
]
TINY = [(4, 300, "half"), (3, 1000, "float32"), (200, 10, "float32")]
ORDERS = (1.0, 2.0, 1.7, 0.5)
FLUSH = 1 << 29
"""Bytes written before each measurement: more than the cache holds, and long enough to hide the launches."""


class Report:
    """Prints lines, and keeps them for a file."""

    def __init__(self, minutes):
        self.lines = []
        self.end = time.monotonic() + 60 * minutes

    def __call__(self, line=""):
        print(line, flush=True)
        self.lines.append(line)

    def late(self, what):
        if time.monotonic() < self.end:
            return False
        self(f"\nOut of time: {what} left out.")
        return True


class Torch:
    """torch on a CUDA device, or on the CPU for a dry run."""

    name = "torch"

    def __init__(self, dry):
        self.torch = importlib.import_module("torch")
        if not dry and not self.torch.cuda.is_available():
            msg = "torch sees no CUDA device"
            raise RuntimeError(msg)
        self.dry = dry
        self.device = "cpu" if dry else "cuda"
        self.half = "bfloat16"
        self.out_of_memory = self.torch.OutOfMemoryError
        self.scrap = self.torch.empty(16 if dry else FLUSH, dtype=self.torch.uint8, device=self.device)

    def versions(self):
        torch = self.torch
        found = f"torch {torch.__version__}"
        if not self.dry:
            found += f", CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"
        return found

    def make(self, rows, n, dtype):
        torch = self.torch
        dtype = getattr(torch, self.half if dtype == "half" else dtype)
        x = torch.empty(rows, n, dtype=dtype, device=self.device)
        generator = torch.Generator(self.device).manual_seed(0)
        for part in x.split(max(1, (1 << 28) // n)):
            part.copy_(torch.randn(part.shape, generator=generator, device=self.device) * 3)
        return x.requires_grad_()

    def size(self, x):
        return x.numel() * x.element_size()

    def seconds(self, f):
        if self.dry:
            start = time.perf_counter()
            f()
            return time.perf_counter() - start
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.scrap.zero_()
        start.record()
        f()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    def peak(self, f):
        """Return the growth of the memory that tensors hold, at its largest."""
        if self.dry:
            f()
            return math.nan
        cuda = self.torch.cuda
        cuda.synchronize()
        cuda.reset_peak_memory_stats()
        before = cuda.memory_allocated()
        f()
        cuda.synchronize()
        return cuda.max_memory_allocated() - before

    def copy(self, n):
        source, target = (self.torch.empty(n, dtype=self.torch.uint8, device=self.device) for _ in range(2))
        return lambda: target.copy_(source)

    def free(self):
        if not self.dry:
            self.torch.cuda.empty_cache()

    def contestants(self, alpha, *, compiled):
        """Return functions of the logits by name."""
        torch = self.torch

        def formula(x):
            log_p = torch.log_softmax(x, -1)
            if alpha == 1:
                return -(log_p.exp() * log_p).sum(-1)
            return torch.logsumexp(alpha * log_p, -1) / (1 - alpha)

        found = {"renyi_core": lambda x: renyi.entropy_from_logits(x, alpha), "log_softmax formula": formula}
        if compiled:
            found["torch.compile of it"] = torch.compile(formula)
        if alpha == 1:
            found["Categorical.entropy"] = lambda x: torch.distributions.Categorical(
                logits=x, validate_args=False
            ).entropy()
        return {name: (self.forward(f), self.both(f)) for name, f in found.items()}

    def forward(self, f):
        def run(x):
            with self.torch.no_grad():
                f(x)

        return run

    def both(self, f):
        def run(x):
            x.grad = None
            f(x).sum().backward()
            x.grad = None

        return run


class CuPy:
    """CuPy; for a dry run, NumPy in its place."""

    name = "CuPy"

    def __init__(self, dry):
        self.dry = dry
        self.xp = importlib.import_module("numpy" if dry else "cupy")
        if not dry and not self.xp.is_available():
            msg = "CuPy sees no CUDA device"
            raise RuntimeError(msg)
        self.out_of_memory = MemoryError if dry else self.xp.cuda.memory.OutOfMemoryError
        self.scrap = self.xp.empty(16 if dry else FLUSH, dtype="uint8")

    def versions(self):
        if self.dry:
            return f"NumPy {self.xp.__version__} in CuPy's place"
        runtime = self.xp.cuda.runtime
        name = runtime.getDeviceProperties(self.xp.cuda.Device().id)["name"].decode()
        return f"CuPy {self.xp.__version__}, CUDA {runtime.runtimeGetVersion()}, {name}"

    def make(self, rows, n, dtype):
        x = self.xp.empty((rows, n), dtype="float16" if dtype == "half" else dtype)
        step = max(1, (1 << 26) // n)
        rng = self.xp.random.default_rng(0)
        for start in range(0, rows, step):
            part = x[start : start + step]
            part[...] = rng.standard_normal(part.shape, dtype="float32") * 3
        return x

    def size(self, x):
        return x.nbytes

    def seconds(self, f):
        if self.dry:
            start = time.perf_counter()
            f()
            return time.perf_counter() - start
        cuda = self.xp.cuda
        start, end = cuda.Event(), cuda.Event()
        self.scrap.fill(0)
        start.record()
        f()
        end.record()
        end.synchronize()
        return cuda.get_elapsed_time(start, end) / 1e3

    def peak(self, f):
        """Return what a pool of its own took from the device."""
        if self.dry:
            f()
            return math.nan
        pool = self.xp.cuda.MemoryPool()
        with self.xp.cuda.using_allocator(pool.malloc):
            f()
        self.xp.cuda.Device().synchronize()
        return pool.total_bytes()

    def copy(self, n):
        source, target = (self.xp.zeros(n, dtype="uint8") for _ in range(2))
        return lambda: self.xp.copyto(target, source)

    def free(self):
        if not self.dry:
            self.xp.get_default_memory_pool().free_all_blocks()

    def contestants(self, alpha, *, compiled):  # noqa: ARG002
        """Return functions of the logits by name."""
        xp = self.xp

        def softmax(x):
            e = xp.exp(x.astype("float32", copy=False) - x.max(-1, keepdims=True))
            return e / e.sum(-1, keepdims=True)

        def formula(x):
            p = softmax(x)
            if alpha == 1:
                return -(p * xp.log(xp.maximum(p, 1e-37))).sum(-1)
            return xp.log((p**alpha).sum(-1)) / (1 - alpha)

        def formula_and_gradient(x):
            p = softmax(x)
            if alpha == 1:
                log_p = xp.log(xp.maximum(p, 1e-37))
                value = -(p * log_p).sum(-1, keepdims=True)
                gradient = -p * (log_p + value)
            else:
                q = p**alpha
                power = q.sum(-1, keepdims=True)
                value = xp.log(power) / (1 - alpha)
                gradient = alpha / (alpha - 1) * (p - q / power)
            return value, gradient.astype(x.dtype, copy=False)

        both = renyi.value_and_grad(renyi.entropy_from_logits)
        return {
            "renyi_core": (lambda x: renyi.entropy_from_logits(x, alpha), lambda x: both(x, alpha)),
            "softmax formula": (formula, formula_and_gradient),
        }


def measured(library, calls, rounds):
    """Return the median time of each call; in its place, the reason why there is none."""
    times = {key: [] for key in calls}
    for _ in range(rounds + 1):
        for key, call in calls.items():
            if isinstance(times[key], str):
                continue
            try:
                times[key].append(library.seconds(call))
            except library.out_of_memory:
                times[key] = "out of memory"
            except Exception as error:  # noqa: BLE001  a peer that fails must not end the run
                times[key] = type(error).__name__
            if isinstance(times[key], str):
                library.free()
    # the first round compiles and fills the pool
    return {key: each if isinstance(each, str) else statistics.median(each[1:]) for key, each in times.items()}


def bandwidth(library, rounds):
    n = 1 << (12 if library.dry else 31)
    copy = library.copy(n)
    found = 2 * n / measured(library, {"copy": copy}, rounds)["copy"]
    del copy
    library.free()
    return found


def cell(seconds, moved, speed):
    if isinstance(seconds, str):
        return f"{seconds} | "
    return f"{seconds * 1e3:.3f} | {moved / speed / seconds:.0%}"


def peak_of(library, call, seconds):
    if isinstance(seconds, str):
        return ""
    found = library.peak(call)
    return "–" if math.isnan(found) else f"{found / 2**20:,.1f}"


def rows_of(library, report, options):
    """Measure entropies of logits on one library."""
    speed = bandwidth(library, options.rounds)
    report(f"\n## {library.versions()}\n\nCopy: {speed / 1e12:.2f} TB/s, read and write counted.")
    shapes = TINY if library.dry else SHAPES
    for k, (rows, n, dtype) in enumerate(shapes):
        if report.late(f"{library.name} from {rows} × {n} on"):
            return
        x = library.make(rows, n, dtype)
        report(f"\n{rows:,} × {n:,} {x.dtype}, {library.size(x) / 2**20:,.0f} MiB\n")
        report("| α | | forward, ms | of the limit | forward + backward, ms | of the limit | peak, MiB |")
        report("| --- | --- | --- | --- | --- | --- | --- |")
        for alpha in ORDERS:
            if report.late(f"{library.name}, {rows} × {n} from α = {alpha} on"):
                break
            # each compilation takes seconds
            compiled = alpha in (1.0, 2.0) and k in (0, 2) and not library.dry
            found = library.contestants(alpha, compiled=compiled)
            calls = {
                (name, kind): (lambda call=pair[kind], x=x: call(x)) for name, pair in found.items() for kind in (0, 1)
            }
            times = measured(library, calls, options.rounds)
            for name in found:
                size = library.size(x)
                cells = [cell(times[name, 0], size, speed), cell(times[name, 1], 3 * size, speed)]
                report(
                    f"| {alpha} | {name} | {' | '.join(cells)} | {peak_of(library, calls[name, 1], times[name, 1])} |"
                )
            del found, calls
        del x
        library.free()


class Head:
    """A linear head: hidden states, weights, and ways to the entropy of each token's prediction and its gradients."""

    def __init__(self, library, entropy):
        self.torch = torch = library.torch
        self.entropy = entropy
        tokens, width, vocabulary = (8, 16, 300) if library.dry else (8192, 4096, 151_936)
        make = {"dtype": torch.float32 if library.dry else torch.bfloat16, "device": library.device}
        self.hidden = torch.randn(tokens, width, **make).requires_grad_()
        self.weight = (torch.randn(vocabulary, width, **make) * 0.05).requires_grad_()
        self.chunk = max(1, tokens // 8)
        self.shape = tokens, width, vocabulary

    def forget(self):
        self.hidden.grad = self.weight.grad = None

    def textbook(self, hidden, alpha):
        log_p = self.torch.log_softmax(hidden @ self.weight.mT, -1)
        return -(log_p.exp() * log_p).sum(-1) if alpha == 1 else self.torch.logsumexp(alpha * log_p, -1) / (1 - alpha)

    def step(self, f, alpha, chunk):
        def run():
            self.forget()
            for part in self.hidden.split(chunk):
                f(part, alpha).float().sum().backward()
            self.forget()

        return run

    def products(self, again):
        def run():
            with self.torch.no_grad():
                total = self.torch.zeros_like(self.weight)
                for part in self.hidden.split(self.chunk):
                    for _ in range(1 + again):
                        logits = part @ self.weight.mT
                    _ = logits @ self.weight
                    total.addmm_(logits.mT, part)

        return run

    def contestants(self, alpha):
        whole = self.shape[0]
        return {
            "three products": self.products(again=0),
            "three products and one again": self.products(again=1),
            "linear_entropy": self.step(lambda part, alpha: self.entropy(part, self.weight, alpha), alpha, whole),
            "log_softmax formula": self.step(self.textbook, alpha, whole),
            "the formula in chunks": self.step(self.textbook, alpha, self.chunk),
        }


def linear(library, report, options):
    """Measure the entropy of a linear head's softmax beside the matrix products that it consists of."""
    try:
        from renyi_training.torch import linear_entropy
    except ImportError:
        report("\nNo `linear_entropy` in renyi_training.torch: the linear head is left out.")
        return
    if report.late("the linear head"):
        return
    head = Head(library, linear_entropy)
    report("\n## Linear head: {:,} tokens, hidden {:,}, vocabulary {:,}\n".format(*head.shape))
    report("Forward and backward, of hidden and weight; the products are the matrix products alone, in eight chunks.\n")
    report("| α | | ms | × the products and one again | peak, MiB |\n| --- | --- | --- | --- | --- |")
    for alpha in (1.0, 1.7):
        calls = head.contestants(alpha)
        times = measured(library, calls, max(2, options.rounds // 2))
        base = times["three products and one again"]
        for name, call in calls.items():
            seconds = times[name]
            ratio = "" if isinstance(seconds, str) or isinstance(base, str) else f"{seconds / base:.2f}"
            cells = f"{seconds if isinstance(seconds, str) else f'{seconds * 1e3:.2f}'} | {ratio}"
            report(f"| {alpha} | {name} | {cells} | {peak_of(library, call, seconds)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="torch,cupy,linear", help="some of torch, cupy, linear")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=8, help="begin nothing new after that")
    parser.add_argument("--out", type=Path, help="a markdown file for what is printed")
    parser.add_argument("--dry-run", action="store_true", help="tiny shapes on the CPU, to see that the script runs")
    options = parser.parse_args()
    report = Report(options.minutes)
    report(f"# GPU benchmarks, renyi_core {renyi.__version__}, {time.strftime('%Y-%m-%d')}")
    if options.dry_run:
        report("\nA dry run on the CPU: the figures mean nothing.")
    wanted = options.only.split(",")
    for library, names in ((Torch, {"torch", "linear"}), (CuPy, {"cupy"})):
        if not names & set(wanted):
            continue
        try:
            opened = library(options.dry_run)
        except (ImportError, RuntimeError) as error:
            report(f"\n{library.name} is left out: {error}")
            continue
        if library.name.lower() in wanted:
            rows_of(opened, report, options)
        if "linear" in names & set(wanted):
            linear(opened, report, options)
        opened.free()
        del opened
    if options.out:
        options.out.write_text("\n".join(report.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
