"""What runs where: which test shows it, on which library. ``python tests/capabilities.py`` writes docs/capabilities.md.

tests/test_site.py holds the page to this table, and each test named here to exist and to be collected for its
libraries; conftest.py fails a run in which such a test was only skipped.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
LIBRARIES = {"numpy": "NumPy", "strict": "array-api-strict", "torch": "torch", "jax": "JAX", "dask": "Dask"}
ALL = "numpy strict torch jax dask"


class Claim(NamedTuple):
    """The tests that show something on these libraries, and under what limit.

    ``"test_x::test_y[a-b]"`` is the cases of a test that have the parameters a and b.
    """

    libraries: str
    tests: str
    limit: str = ""


def cases(test: str, *parameters: str) -> str:
    """Return a test once for each combination of parameters."""
    return " ".join(f"{test}[{'-'.join(words)}]" for words in itertools.product(*map(str.split, parameters)))


ENTROPIES = {
    "value, at any order": [Claim(ALL, "test_accuracy::test_grid")],
    "analytic gradient, `grad`, `value_and_grad`": [Claim(ALL, "test_accuracy::test_grid")],
    'analytic ∂/∂α, `wrt="alpha"`': [Claim(ALL, "test_accuracy::test_grid")],
    "analytic second derivative, `hvp`": [Claim(ALL, "test_accuracy::test_hessian")],
    "vector–Jacobian product, `cotangent=`": [
        Claim(ALL, "test_properties::test_cotangent_multiplies_the_gradient_of_each_row")
    ],
    "one order for each row": [Claim(ALL, "test_accuracy::test_orders_in_an_array")],
    "masks, `where=`": [Claim(ALL, "test_properties::test_mask_leaves_entries_out_whatever_they_hold")],
    "float16, bfloat16": [
        Claim("numpy", "test_accuracy::test_half_precision_is_rounded_once", "float16"),
        Claim("torch jax", "test_accuracy::test_half_precision_is_rounded_once"),
    ],
    "reverse mode": [Claim("torch jax", "test_autodiff::test_gradient")],
    "reverse mode, of α": [Claim("torch jax", "test_autodiff::test_alpha_gradient")],
    "reverse mode, twice": [Claim("torch jax", "test_autodiff::test_second_derivative")],
    "forward mode": [
        Claim("torch", "test_torch::test_function_transforms"),
        Claim("jax", "test_jax::test_check_grads"),
    ],
    "`vmap`, over rows and orders": [
        Claim("torch", "test_torch::test_vmap_over_orders_and_axes"),
        Claim("jax", "test_lazy::test_vmap"),
    ],
    "`jit`, `torch.compile` with one graph": [
        Claim("torch", "test_torch::test_compile"),
        Claim("jax", "test_lazy::test_jit"),
    ],
    "exported graphs, `torch.export`, `jax.export`": [Claim("torch jax", "test_export::test_values_at_other_lengths")],
    "ragged rows in nested tensors": [Claim("torch", "test_torch_nested::test_rows_of_any_number")],
    "lazy or traced: reads no values": [
        Claim("jax", "test_lazy::test_jit"),
        Claim("dask", "test_lazy::test_dask_stays_a_graph"),
    ],
    "several processes or devices": [
        Claim("torch", "test_torch_distributed::test_step", "processes, gloo"),
        Claim("jax", "test_jax::test_sharded_over_devices", "devices of a CPU"),
        Claim("dask", "test_dask::test_on_a_cluster", "workers"),
    ],
}
# what a library does not have, and the tests of another row say
ABSENT = {
    "reverse mode": "numpy strict dask",
    "reverse mode, of α": "numpy strict dask",
    "reverse mode, twice": "numpy strict dask",
    "forward mode": "numpy strict dask",
    "`vmap`, over rows and orders": "numpy strict dask",
    "`jit`, `torch.compile` with one graph": "numpy strict dask",
    "exported graphs, `torch.export`, `jax.export`": "numpy strict dask",
    "ragged rows in nested tensors": "numpy strict jax dask",
    "lazy or traced: reads no values": "numpy strict torch",
    "several processes or devices": "numpy strict",
    "float16, bfloat16": "strict",
}
DOORS = "probs logits"
DENSITIES = "laplace_entropy exponential_entropy uniform_entropy"
SHARES = "beta_entropy gamma_entropy dirichlet_entropy"
TERMS = "floor smoothing forward jensen gaussian sampled information"
AUTODIFF = "test_automatic_differentiation"
QUANTITIES = {
    "entropy entropy_from_logits hill_number hill_number_from_logits tsallis_entropy tsallis_entropy_from_logits": (
        [Claim(ALL, cases("test_accuracy::test_grid", "entropy hill tsallis", DOORS))],
        [
            Claim(
                "torch jax",
                cases("test_autodiff::test_gradient", "entropy hill_number tsallis_entropy")
                + " "
                + cases(
                    "test_autodiff::test_gradient",
                    "entropy_from_logits hill_number_from_logits tsallis_entropy_from_logits",
                ),
            )
        ],
    ),
    "entropy_spectrum entropy_spectrum_from_logits": (
        [Claim(ALL, cases("test_properties::test_spectrum_is_a_stack_of_entropies", DOORS))],
        [],
    ),
    "divergence divergence_from_logits": (
        [Claim(ALL, cases("test_divergence::test_grid", DOORS))],
        [Claim("torch jax", cases("test_autodiff::test_divergence", DOORS))],
    ),
    "tsallis_divergence tsallis_divergence_from_logits": (
        [Claim("numpy strict torch dask", cases("test_pair_measures::test_grid", "tsallis", DOORS))],
        [Claim("torch", cases(f"test_pair_measures::{AUTODIFF}", "tsallis", DOORS))],
    ),
    "alpha_divergence alpha_divergence_from_logits": (
        [
            Claim("numpy strict torch dask", cases("test_pair_measures::test_grid", "alpha", DOORS)),
            Claim("jax", cases("test_pair_measures::test_grid", "alpha", "logits"), "from logits"),
        ],
        [
            Claim("torch", cases(f"test_pair_measures::{AUTODIFF}", "alpha", DOORS)),
            Claim("jax", cases(f"test_pair_measures::{AUTODIFF}", "alpha", "logits"), "from logits"),
        ],
    ),
    "cross_entropy cross_entropy_from_logits": (
        [Claim(ALL, cases("test_pair_measures::test_grid", "cross", DOORS))],
        [
            Claim("torch", cases(f"test_pair_measures::{AUTODIFF}", "cross", DOORS)),
            Claim("jax", cases(f"test_pair_measures::{AUTODIFF}", "cross", "probs"), "from probabilities"),
        ],
    ),
    "jensen_divergence": (
        [Claim(ALL, "test_jensen::test_grid")],
        [Claim("torch jax", f"test_jensen::{AUTODIFF}")],
    ),
    "jensen_divergence_from_logits": (
        [Claim(ALL, "test_jensen_logits::test_grid")],
        [Claim("torch jax", f"test_jensen_logits::{AUTODIFF}")],
    ),
    "mutual_information conditional_entropy": (
        [Claim(ALL, cases("test_information::test_grid", "sibson arimoto conditional") + " test_csiszar::test_grid")],
        [
            Claim(
                "torch jax",
                cases(f"test_information::{AUTODIFF}", "sibson arimoto conditional") + f" test_csiszar::{AUTODIFF}",
            )
        ],
    ),
    "maximal_leakage": ([Claim(ALL, "test_information::test_maximal_leakage")], []),
    "regularized_argmax regularized_max": (
        [
            Claim("numpy strict torch dask", "test_choice::test_grid"),
            Claim("jax", "test_choice::test_orders_in_an_array"),
        ],
        [Claim("torch jax", f"test_choice::{AUTODIFF}")],
    ),
    "gaussian_entropy": (
        [Claim(ALL, cases("test_gaussian::test_entropy", "full diagonal isotropic"))],
        [Claim("torch jax", "test_gaussian::test_entropies_of_batches_by_autodiff")],
    ),
    "gaussian_divergence": (
        [Claim(ALL, cases("test_gaussian::test_divergence", "full diagonal"))],
        [Claim("torch jax", cases("test_gaussian::test_divergence_autodiff", "full diagonal"))],
    ),
    "tanh_gaussian_entropy": (
        [Claim(ALL, "test_tanh_gaussian::test_grid")],
        [Claim("torch jax", "test_tanh_gaussian::test_autodiff_along_orders")],
    ),
    "truncated_gaussian_entropy": (
        [Claim(ALL, "test_truncated_gaussian::test_grid")],
        [Claim("torch jax", f"test_truncated_gaussian::{AUTODIFF}")],
    ),
    "laplace_entropy exponential_entropy uniform_entropy": (
        [Claim(ALL, cases("test_densities::test_against_the_integral", DENSITIES))],
        [Claim("torch jax", cases("test_densities::test_gradient_is_one_over_the_scale", DENSITIES))],
    ),
    "beta_entropy gamma_entropy dirichlet_entropy": (
        [Claim(ALL, cases("test_dirichlet::test_grid", SHARES))],
        [Claim("torch jax", cases(f"test_dirichlet::{AUTODIFF}", SHARES))],
    ),
    "gram_entropy": (
        [Claim(ALL, "test_diversity::test_values_and_derivatives")],
        [Claim("torch jax", f"test_diversity::{AUTODIFF}")],
    ),
    "vendi_score": (
        [
            Claim("numpy strict torch dask", "test_diversity::test_values_and_derivatives"),
            Claim("jax", "test_diversity::test_rank_is_numerical", "values, α = 0"),
        ],
        [],
    ),
    "gram_joint_entropy gram_mutual_information": (
        [
            Claim("numpy strict torch dask", cases("test_diversity_pairs::test_two_variables", "joint shared")),
            # whose difference is the other
            Claim("jax", cases("test_diversity_pairs::test_two_variables", "shared")),
        ],
        [],
    ),
    "kernel_entropy": (
        [Claim(ALL, "test_samples::test_values_and_derivatives")],
        [Claim("torch jax", f"test_samples::{AUTODIFF}")],
    ),
    "particle_entropy": (
        [Claim(ALL, cases("test_particles::test_derivatives", "0 alpha"))],
        [Claim("torch jax", f"test_particles::{AUTODIFF}")],
    ),
    "particle_mutual_information": ([Claim(ALL, "test_particle_information::test_value", "values")], []),
    "particle_reward": ([Claim(ALL, "test_particles::test_reward", "values")], []),
    "entropy_from_counts": ([Claim(ALL, "test_estimators::test_small_cases", "values")], []),
    "nucleus_mask": ([Claim(ALL, "test_masks::test_nucleus", "values")], []),
    "high_entropy_mask": ([Claim(ALL, "test_masks::test_high_entropy", "values")], []),
    "entropy_bounds_from_top": (
        [Claim(ALL, "test_bounds::test_grid")],
        [Claim("torch jax", f"test_bounds::{AUTODIFF}")],
    ),
    "entropy_from_log_prob": (
        [Claim(ALL, "test_estimators::test_log_prob_gradients")],
        [Claim("torch jax", "test_estimators::test_log_prob_gradients")],
    ),
    "summary": ([Claim(ALL, "test_monitoring::test_summary_is_what_the_functions_return", "values")], []),
    "EntropyBonus BalanceTerm": (
        [Claim(ALL, cases("test_regularizers::test_value_and_gradients", "bonus balance"))],
        [Claim("torch jax", cases("test_regularizers::test_value_and_gradients", "bonus balance"))],
    ),
    "EntropyFloor LabelSmoothing DivergenceTerm JensenTerm GaussianEntropyBonus SampledEntropyBonus InformationTerm": (
        [Claim(ALL, cases("test_regularizers::test_value_and_gradients", TERMS, "masked"))],
        [Claim("torch jax", cases("test_regularizers::test_value_and_gradients", TERMS, "masked"))],
    ),
    "ConfidencePenalty": (
        [Claim("numpy strict torch dask", cases("test_regularizers::test_value_and_gradients", "confidence"))],
        [Claim("torch", cases("test_regularizers::test_value_and_gradients", "confidence"))],
    ),
}
DEVICES = {
    "torch": (
        "Triton kernels and the array-API code",
        Claim("torch", "test_triton::test_in_the_interpreter", "interpreted"),
        Claim("torch", "test_triton::test_compiled_ahead_of_time"),
        "test_gpu_torch",
    ),
    "cupy": (
        "CUDA kernels and the array-API code",
        Claim("numpy", "test_cuda_source::test_values_and_gradients_against_exact_arithmetic", "emulated"),
        Claim("numpy", "test_cuda_compile::test_compiles_in_registers"),
        "test_gpu_cupy",
    ),
    "jax": ("the array-API code, compiled by XLA", None, None, "test_gpu"),
}
CLAIMS = [
    *(claim for claims in ENTROPIES.values() for claim in claims),
    *(claim for pair in QUANTITIES.values() for claims in pair for claim in claims),
    *(claim for row in DEVICES.values() for claim in row[1:3] if claim),
]
SHOWN_BY = {(test, library) for claim in CLAIMS for library in claim.libraries.split() for test in claim.tests.split()}
"""Tests and libraries: not all of such a test's cases may be skipped where it runs."""


def shown_by(test: str, library: str, parameters: set[str]) -> list[str]:
    """Return what is named here of a test, for one of its cases."""
    return [
        name
        for name, on in SHOWN_BY
        if on == library and name.split("[")[0] == test and set(words_of(name)) <= parameters
    ]


def words_of(name: str) -> list[str]:
    """Return the parameters that a name asks for."""
    return name.rstrip("]").split("[")[1].split("-") if "[" in name else []


HEAD = """# What runs where

Each *yes* links to the test that shows it on that library. A *–* means that the library has no such thing.
array-api-strict stands for all other libraries that follow the array-API standard. The tests run on Linux and CPUs,
with Python 3.11 to 3.15: on 3.14 and 3.15 those of NumPy and array-api-strict, and a part of those of JAX and Dask on
3.14. [tests/capabilities.py](../tests/capabilities.py) writes this page, and a full run of the tests fails if it skips
one of those linked here.

## Derivatives, transforms and dtypes

These are features of the Rényi entropy, the Hill number and the Tsallis entropy. *Analytic* derivatives need no
automatic differentiation. The rows from *reverse mode* on use the transforms of the library.

"""
MIDDLE = """
## Quantities

The first columns are for values and analytic derivatives, the last two for the automatic differentiation of torch and
JAX. *Not tested* does not mean that it fails: the code is the same, but no test shows it.

"""
TAIL = """
## GPUs

"""


def cell(claims: list[Claim], library: str) -> str:
    """Return what the table says of one library."""
    for claim in claims:
        if library in claim.libraries.split():
            link = f"[yes](../tests/{claim.tests.split('::')[0]}.py)"
            return f"{link}: {claim.limit}" if claim.limit else link
    return "not tested"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def measured_on_gpu(library: str) -> list[Path]:
    """Return the committed results of benchmarks/gpu.py whose line of versions names the library and a device."""
    line = re.compile(rf"\b{library} \S+, CUDA \S+, \w", re.IGNORECASE)
    return [path for path in sorted(ROOT.glob("benchmarks/results/*.md")) if line.search(path.read_text("utf-8"))]


def render() -> str:
    """Return the page."""
    entropies = [
        [name, *("–" if library in ABSENT.get(name, "").split() else cell(claims, library) for library in LIBRARIES)]
        for name, claims in ENTROPIES.items()
    ]
    quantities = [
        [
            ", ".join(f"`{name}`" for name in names.split()),
            *(cell(claims, library) for library in LIBRARIES),
            *(cell(by_autodiff, library) for library in ("torch", "jax")),
        ]
        for names, (claims, by_autodiff) in QUANTITIES.items()
    ]
    devices = []
    for library, (what, imitated, compiled, ready) in DEVICES.items():
        results = measured_on_gpu(library)
        run = ", ".join(f"[yes](../{path.relative_to(ROOT).as_posix()})" for path in results)
        devices.append(
            [
                {"cupy": "CuPy"}.get(library, LIBRARIES.get(library, library)),
                what,
                f"[{imitated.limit}](../tests/{imitated.tests.split('::')[0]}.py)" if imitated else "–",
                f"[yes](../tests/{compiled.tests.split('::')[0]}.py)" if compiled else "–",
                run or f"not run yet ([ready](../tests/{ready}.py))",
            ]
        )
    return (
        HEAD
        + table(["feature", *LIBRARIES.values()], entropies)
        + MIDDLE
        + table(["quantity", *LIBRARIES.values(), "torch autograd", "`jax.grad`"], quantities)
        + TAIL
        + table(["library", "what runs", "checked on the CPU", "compiled for sm_80, sm_90, sm_100", "GPU"], devices)
    )


if __name__ == "__main__":
    (ROOT / "docs" / "capabilities.md").write_text(render(), encoding="utf-8")
