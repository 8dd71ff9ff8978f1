"""The sections of docs/integrations.md run, each where its library is installed, and train as a loop by hand."""

from __future__ import annotations

import doctest
import importlib.util
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import renyi_core as renyi

BACKENDS = ("torch",)
pytestmark = [
    pytest.mark.usefixtures("backend"),
    # of PEFT and Transformers to each other, of xarray to NumPy
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
PAGE = Path(__file__).parent.parent / "docs" / "integrations.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}
NEEDS = {
    "Keras 3": ("keras", "jax", "torch"),
    "Equinox": ("equinox", "optax"),
    "Accelerate": ("accelerate",),
    "PEFT": ("peft", "transformers"),
    "verl": ("verl",),
    "xarray": ("xarray",),
    "sparse": ("sparse",),
}
ORDERS = (0.0, 0.5, 1.0, 2.0, math.inf)


def test_sections():
    assert set(SECTIONS) == set(NEEDS)


def run(name):
    """Run a section, and return its names."""
    test = doctest.DocTestParser().get_doctest(SECTIONS[name], {}, name, str(PAGE), 0)
    results = doctest.DocTestRunner().run(test, clear_globs=False)
    assert results.attempted > 0
    assert results.failed == 0
    return test.globs


def slope(p, alpha):
    """The derivative of the entropy with respect to logits, by the plain formula."""
    if alpha == 1:
        return -p * (np.log(p) - (p * np.log(p)).sum(-1, keepdims=True))
    if alpha == math.inf:
        return p - np.eye(p.shape[-1])[p.argmax(-1)]
    escort = p**alpha / (p**alpha).sum(-1, keepdims=True)
    return alpha / (1 - alpha) * (escort - p)


def by_hand(parameters, inputs, labels, alpha, betas, rate, weights=None):
    """Softmax regression with the bonus by gradient descent, a step for each β: the rows are shared among steps."""
    kernel, bias = (np.asarray(x, dtype=float) for x in parameters)
    for beta, rows in betas:
        logits = inputs[rows] @ kernel + bias
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        gradient = (p - np.eye(p.shape[-1])[labels[rows]] - beta * slope(p, alpha)) / len(p)
        gradient = gradient if weights is None else gradient * weights[rows, None]
        kernel, bias = kernel - rate * inputs[rows].T @ gradient, bias - rate * gradient.sum(0)
    return kernel, bias


def check(found, parameters, inputs, labels, alpha, betas, rate, weights=None):
    """Equal to the loop by hand, whose entropy the bonus has made larger."""
    want = by_hand(parameters, inputs, labels, alpha, betas, rate, weights)
    for got, expected in zip(found, want, strict=True):
        np.testing.assert_allclose(np.asarray(got), expected, atol=2e-5)
    plain = by_hand(parameters, inputs, labels, alpha, [(0.0, rows) for _, rows in betas], rate, weights)
    if alpha > 0:
        order = alpha if alpha < math.inf else 2.0
        with_bonus, without = (
            renyi.entropy_from_logits(inputs.astype(float) @ kernel + bias, order).mean()
            for kernel, bias in (want, plain)
        )
        assert with_bonus > without + 1e-3


def trains_in_keras(names):
    """``add_loss`` follows a schedule on both backends, and a loss function counts what sample weights count."""
    keras, inputs, labels = names["keras"], names["inputs"], names["labels"]
    everything = slice(None)
    weights = np.linspace(0, 2, 64, dtype="float32")
    for alpha in ORDERS:
        bonus = names["EntropyBonus"](alpha, 0.5)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), bonus])
        start = model.layers[0].get_weights()
        model.compile(keras.optimizers.SGD(0.5), names["nll"])
        follow = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs, beta=bonus.beta: beta.assign(0.5 + epoch)
        )
        model.fit(inputs, labels, batch_size=64, epochs=4, verbose=0, callbacks=[follow])
        check(
            model.layers[0].get_weights(), start, inputs, labels, alpha, [(0.5 + k, everything) for k in range(4)], 0.5
        )
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    start = model.get_weights()
    model.compile(keras.optimizers.SGD(0.5), names["loss"], metrics=[names["entropy"]])
    metric = model.evaluate(inputs, labels, batch_size=64, verbose=0, return_dict=True)["entropy"]
    np.testing.assert_allclose(metric, renyi.entropy_from_logits(inputs @ start[0] + start[1], 2.0).mean(), rtol=1e-4)
    model.fit(inputs, labels, batch_size=64, epochs=4, verbose=0, sample_weight=weights)
    check(model.get_weights(), start, inputs, labels, 2.0, [(0.5, everything)] * 4, 0.5, weights)

    # an order that is a weight of the layer
    class Scheduled(names["EntropyBonus"]):
        def __init__(self, alpha, weight):
            super().__init__(alpha, weight)
            self.order = self.add_weight(shape=(), initializer=keras.initializers.Constant(alpha), trainable=False)

        def call(self, logits):
            self.add_loss(-self.beta * keras.ops.mean(renyi.entropy_from_logits(logits, self.order.value)))
            return logits

    layer = Scheduled(2.0, 1.0)
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(0.5), lambda labels, logits: 0 * keras.ops.sum(logits, axis=-1))
    for order in (2.0, 0.5):
        layer.order.assign(order)
        loss = model.fit(inputs[:, :3], labels, batch_size=64, verbose=0).history["loss"][0]
        np.testing.assert_allclose(-loss, renyi.entropy_from_logits(inputs[:, :3], order).mean(), rtol=1e-4)


def trains_in_equinox(names):
    """A term is an argument, filtered like a module: one compilation for a schedule."""
    eqx, jnp = names["eqx"], names["jnp"]
    inputs, labels = np.asarray(names["inputs"]), np.asarray(names["labels"])
    for alpha in ORDERS:
        model = start = eqx.nn.Linear(4, 3, key=names["jax"].random.key(0))
        state = names["optimizer"].init(eqx.filter(model, eqx.is_array))
        betas = [(0.5 + k, slice(None)) for k in range(4)]
        for beta, _ in betas:
            bonus = names["EntropyBonus"](alpha, jnp.asarray(beta))
            model, state, _ = names["train_step"](model, state, bonus)
        check((model.weight.T, model.bias), (start.weight.T, start.bias), inputs, labels, alpha, betas, 0.5)

    class Policy(eqx.Module):
        layer: eqx.nn.Linear
        bonus: object

    trained = [
        eqx.filter_grad(lambda policy: policy.bonus(policy.layer.weight))(Policy(start, names["EntropyBonus"](2.0, w)))
        for w in (0.5, jnp.asarray(0.5))
    ]
    assert trained[0].bonus.weight == 0.5
    assert trained[1].bonus.weight < 0


def trains_in_accelerate(names):
    """Micro-batches are steps of twice the rows, and unequal ones those of the loop with weights."""
    torch = names["torch"]
    inputs = names["inputs"].numpy()
    labels = inputs[:, :3].argmax(-1)
    torch.manual_seed(0)
    torch.randn(64, 4)
    start = torch.nn.Linear(4, 3)
    parameters = start.weight.detach().numpy().T, start.bias.detach().numpy()
    steps = [(0.5, slice(k, k + 16)) for k in range(0, 64, 16)]
    found = [x.detach().numpy().T for x in names["accelerator"].unwrap_model(names["model"]).parameters()]
    check(found, parameters, inputs, labels, 2.0, steps, 0.5)

    accelerator = names["Accelerator"](cpu=True, gradient_accumulation_steps=2)
    rows = torch.tensor(inputs), torch.tensor(labels), torch.rand(64) < 0.5
    for alpha in ORDERS:
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*rows), batch_size=32)
        model = torch.nn.Linear(4, 3)
        model.load_state_dict(start.state_dict())
        model, optimizer, data = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.5), data)
        scale = accelerator.num_processes * accelerator.gradient_accumulation_steps
        for batch, target, counts in data:
            with accelerator.accumulate(model):
                count = accelerator.reduce(rows[2].sum()) / scale
                logits = model(batch)
                nll = torch.nn.functional.cross_entropy(logits, target, reduction="none")
                each = nll - 0.5 * renyi.entropy_from_logits(logits, alpha)
                accelerator.backward(torch.where(counts, each, 0.0).sum() / count)
                optimizer.step()
                optimizer.zero_grad()
        found = [x.detach().numpy().T for x in model.parameters()]
        kept = rows[2].numpy()
        check(found, parameters, inputs[kept], labels[kept], alpha, [(0.5, slice(None))], 0.5)

    from renyi_training.torch import TargetEntropyWeight

    weight = TargetEntropyWeight(0.5)
    accelerator.register_for_checkpointing(weight)
    before = weight()
    accelerator.save_state("state")
    weight.update(torch.zeros(3))
    assert weight() != before
    accelerator.load_state("state")
    assert weight() == before


def trains_in_peft(names):
    """The gradient is that of the plain formula, the model stays as it was, and the bonus raises the entropy."""
    torch, peft, transformers, rows = (names[name] for name in ("torch", "peft", "transformers", "rows"))

    def trained(beta):
        torch.manual_seed(0)
        config = transformers.LlamaConfig(**names["sizes"], **names["tokens"])
        model = peft.get_peft_model(
            transformers.LlamaForCausalLM(config), peft.LoraConfig(r=4, target_modules=["q_proj", "lm_head"])
        )
        frozen = {name: x.clone() for name, x in model.named_parameters() if not x.requires_grad}
        parameters = [x for x in model.parameters() if x.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=0.1)
        for _ in range(5):
            output = model(input_ids=rows, labels=rows)
            (output.loss - beta * renyi.entropy_from_logits(output.logits[:, :-1], 2.0).mean()).backward()
            optimizer.step()
            optimizer.zero_grad()
        logits = model(input_ids=rows).logits
        assert frozen
        assert all(torch.equal(x, frozen[name]) for name, x in model.named_parameters() if name in frozen)
        return logits, parameters

    (plain, _), (logits, parameters) = trained(0.0), trained(0.5)
    assert renyi.entropy_from_logits(logits, 2.0).mean() > renyi.entropy_from_logits(plain, 2.0).mean() + 0.1
    torch.testing.assert_close(names["model"](input_ids=rows).logits, logits)
    p = logits.softmax(-1)
    formulas = {0.5: 2 * p.sqrt().sum(-1).log(), 1.0: -(p * p.log()).sum(-1), 2.0: -(p**2).sum(-1).log()}
    for alpha, formula in formulas.items():
        entropy = renyi.entropy_from_logits(logits, alpha)
        for own, want in zip(
            *(torch.autograd.grad(x.mean(), parameters, retain_graph=True) for x in (entropy, formula)), strict=True
        ):
            torch.testing.assert_close(own, want, atol=1e-6, rtol=1e-4)
    # the frozen weight alone is another head
    found = names["linear_entropy"](names["hidden"], names["head"].weight, 2.0)
    assert (found - renyi.entropy_from_logits(logits, 2.0)).abs().max() > 0.1


def trains_in_verl(names):
    """PPO's loss has the bonus, masked, and every process has the module before it asks for an entropy."""
    import torch
    from verl.utils.tensordict_utils import get_tensordict
    from verl.workers.config import FSDPActorConfig
    from verl.workers.utils.losses import ppo_loss

    torch.manual_seed(0)
    ones, mask = torch.ones(4, 3), torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]])
    tokens = torch.randint(9, (4, 5))
    attention = torch.cat([torch.ones(4, 2, dtype=torch.int64), mask], dim=1)
    data = {"prompts": tokens[:, :2], "responses": tokens[:, 2:], "response_mask": mask, "attention_mask": attention}
    lengths = attention.bool()

    def step(logits, beta):
        kept = logits[lengths]
        log_prob = kept.log_softmax(-1)[torch.arange(len(kept)), tokens.roll(-1, 1)[lengths]]
        outputs = {"log_probs": log_prob, "entropy": names["torch_functional"].entropy_from_logits(kept)}
        batch = get_tensordict(
            data | {"old_log_probs": -2 * ones, "advantages": 0 * ones},
            {"dp_size": 1, "batch_num_tokens": None, "global_batch_size": None},
        )
        config = FSDPActorConfig(
            strategy="fsdp", rollout_n=1, ppo_mini_batch_size=4, ppo_micro_batch_size_per_gpu=4, entropy_coeff=beta
        )
        return ppo_loss(config, outputs, batch)[0]

    logits = torch.randn(4, 5, 9, requires_grad=True)
    p = logits[:, 1:-1].softmax(-1)
    want = 0.5 * ((p**2).sum(-1).log() * mask).sum() / mask.sum()
    torch.testing.assert_close(step(logits, 0.5), want)
    gradients = [torch.autograd.grad(x, logits)[0] for x in (step(logits, 0.5), want)]
    torch.testing.assert_close(*gradients)
    before = renyi.entropy_from_logits(logits, 2.0).mean()
    for _ in range(3):
        logits = (logits - torch.autograd.grad(step(logits, 50.0), logits)[0]).detach().requires_grad_()
    assert renyi.entropy_from_logits(logits, 2.0).mean() > before + 0.05

    source = "\n".join(example.source.rstrip() for example in doctest.DocTestParser().get_examples(SECTIONS["verl"]))
    Path("renyi_verl.py").write_text(source, encoding="utf-8")
    command = "from verl.utils import torch_functional as f; print('of', f.entropy_from_logits.__module__)"
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "VERL_USE_EXTERNAL_MODULES": "renyi_verl", "PYTHONPATH": path}
    result = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert "of renyi_verl" in result.stdout


def has_the_values_in_xarray(names):
    xr, shares = names["xr"], names["shares"]
    one, two = [["species"], []], [["species"], ["species"], []]
    for alpha in ORDERS:
        found = xr.apply_ufunc(renyi.entropy, shares, alpha, input_core_dims=one)
        np.testing.assert_array_equal(found, renyi.entropy(shares.values, alpha))
        # the core dimension goes last
        turned = xr.apply_ufunc(renyi.entropy, shares.transpose(), alpha, input_core_dims=one)
        assert turned.identical(found)
        both = xr.apply_ufunc(renyi.divergence, shares, shares[::-1].values, alpha, input_core_dims=two)
        np.testing.assert_array_equal(both, renyi.divergence(shares.values, shares.values[::-1], alpha))
    data = xr.Dataset({"a": shares, "b": shares[::-1]})
    assert xr.apply_ufunc(renyi.entropy, data, 2.0, input_core_dims=one)["a"].dims == ("year",)
    for wrong in (shares, data):
        with pytest.raises(TypeError, match=r"`probs` .* use xarray\.apply_ufunc"):
            renyi.entropy(wrong, 2.0)
    dask = pytest.importorskip("dask")
    chunked = shares.chunk({"species": 2})

    def refuse(*args, **kwargs):
        msg = "a graph was computed"
        raise AssertionError(msg)

    with dask.config.set(scheduler=refuse):
        lazy = xr.apply_ufunc(renyi.entropy, chunked, 2.0, input_core_dims=one, dask="allowed")
    np.testing.assert_allclose(
        lazy.compute(scheduler="synchronous"), xr.apply_ufunc(renyi.entropy, shares, 2.0, input_core_dims=one)
    )


def has_the_values_in_sparse(names):
    sparse, counts = names["sparse"], names["counts"]
    dense = counts.todense()
    logits = np.where(dense > 0, dense, -np.inf)
    stored = sparse.COO(counts.coords, counts.data, shape=counts.shape, fill_value=-np.inf)
    for alpha in ORDERS:
        np.testing.assert_allclose(renyi.entropy(counts, alpha).todense(), renyi.entropy(dense, alpha))
        np.testing.assert_allclose(renyi.entropy(names["packed"], alpha), renyi.entropy(dense, alpha))
        found = renyi.entropy_from_logits(stored, alpha).todense()
        np.testing.assert_allclose(found, renyi.entropy_from_logits(logits, alpha))
    for kind in (sparse.GCXS, sparse.DOK):
        with pytest.raises(TypeError, match="todense"):
            renyi.entropy(kind(counts), 2.0)


MORE = {
    "Keras 3": trains_in_keras,
    "Equinox": trains_in_equinox,
    "Accelerate": trains_in_accelerate,
    "PEFT": trains_in_peft,
    "verl": trains_in_verl,
    "xarray": has_the_values_in_xarray,
    "sparse": has_the_values_in_sparse,
}


@pytest.mark.parametrize("name", [name for name in NEEDS if name != "Keras 3"])
def test_section(name, tmp_path, monkeypatch):
    for module in NEEDS[name]:
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    MORE[name](run(name))


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_keras(library, tmp_path):
    """In a process of its own: Keras has one backend."""
    for module in NEEDS["Keras 3"]:
        # Keras itself, imported without a backend that is installed, fails
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    environment = {**os.environ, "KERAS_BACKEND": library, "KERAS_HOME": str(tmp_path)}
    command = [sys.executable, __file__, "Keras 3"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.split()[-2:] == ["passed", library]


if __name__ == "__main__":
    section = sys.argv[1]
    names = run(section)
    MORE[section](names)
    sys.stdout.write(f"passed {names['keras'].backend.backend()}\n")
