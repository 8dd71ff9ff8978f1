"""The Hugging Face Trainer with an entropy bonus, on tiny models of random weights."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

BACKENDS = ("torch",)
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from renyi_adapters.transformers import RenyiTrainer, RenyiTrainerMixin  # noqa: E402

import renyi_core as renyi  # noqa: E402
from renyi_core.schedules import Constant, Harmonic, Linear  # noqa: E402

pytestmark = pytest.mark.usefixtures("backend")

VOCABULARY, LENGTH = 64, 9


def gpt2(dtype=torch.float32):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=16,
        n_embd=16,
        n_layer=2,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config).to(dtype)


def llama(dtype=torch.float32):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.LlamaForCausalLM(config).to(dtype)


def classifier():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=16, n_embd=16, n_layer=1, n_head=2, num_labels=5, pad_token_id=0
    )
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    return transformers.GPT2ForSequenceClassification(config)


def texts(count=8):
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(1, VOCABULARY, (count, LENGTH), generator=generator)
    labels = rows.clone()
    for k in range(count):
        # prompts of different lengths, so that micro-batches differ in what counts
        labels[k, : k % 7] = -100
    return [{"input_ids": row, "labels": label} for row, label in zip(rows, labels, strict=True)]


def arguments(path, **options):
    settings = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "max_steps": 3,
        "learning_rate": 0.05,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 0,
    }
    return transformers.TrainingArguments(output_dir=str(path), **(settings | options))


def trained(path, model, dataset=None, kind=RenyiTrainer, bonus=None, resume=None, **options):
    extra = {} if bonus is None else bonus
    dataset = texts() if dataset is None else dataset
    trainer = kind(model=model, args=arguments(path, **options), train_dataset=dataset, **extra)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def weights(trainer):
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def logged(trainer, name):
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def batch(dataset):
    return {name: torch.stack([row[name] for row in dataset]) for name in dataset[0]}


def by_hand(model, steps, weight, alpha):
    """Gradient descent on the whole data at once."""
    data = batch(texts())
    labels = data["labels"][:, 1:]
    valid, entropies, losses = labels != -100, [], []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(steps):
        logits = model(input_ids=data["input_ids"]).logits[:, :-1]
        log_prob = torch.log_softmax(logits, -1)
        entropy = renyi.entropy_from_logits(logits[valid], alpha(step)).mean()
        loss = torch.nn.functional.nll_loss(log_prob[valid], labels[valid]) - weight(step) * entropy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        entropies.append(entropy.item())
        losses.append(loss.item())
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]), entropies, losses


@pytest.mark.parametrize(("size", "accumulated"), [(8, 1), (2, 4), (1, 8)])
@pytest.mark.parametrize("alpha", [Constant(0.5), Harmonic(1.0, math.inf, 2)], ids=["1/2", "1 to inf"])
def test_equals_a_loop_written_by_hand(tmp_path, size, accumulated, alpha):
    """However the step is cut into micro-batches, of unequal numbers of labels."""
    weight = Linear(0.5, 0.1, 2)
    found = trained(
        tmp_path,
        llama(),
        bonus={"entropy_weight": weight, "entropy_alpha": alpha},
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulated,
    )
    parameters, entropies, losses = by_hand(llama(), 3, weight, alpha)
    torch.testing.assert_close(weights(found), parameters, rtol=0, atol=2e-6)
    assert logged(found, "entropy") == pytest.approx(entropies, rel=1e-6)
    assert logged(found, "loss") == pytest.approx(losses, rel=1e-5)
    assert logged(found, "entropy_weight") == [weight(step) for step in range(3)]
    assert logged(found, "entropy_alpha") == [alpha(step) for step in range(3)]
    without, _, _ = by_hand(llama(), 3, Constant(0.0), alpha)
    assert (weights(found) - without).abs().max() > 1e-3


@pytest.mark.parametrize("weight", [0.0, Constant(0.0)])
def test_weight_of_0_is_the_trainer(tmp_path, weight, monkeypatch):
    monkeypatch.setattr(renyi, "entropy_from_logits", None)
    plain = trained(tmp_path, llama(), kind=transformers.Trainer)
    found = trained(tmp_path, llama(), bonus={"entropy_weight": weight, "entropy_alpha": 2.0})
    assert torch.equal(weights(found), weights(plain))
    assert logged(found, "loss") == logged(plain, "loss")
    assert logged(found, "entropy") == []


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, math.inf])
def test_direction(tmp_path, alpha):
    """A bonus raises the entropy above that of plain training, a penalty lowers it."""
    ends = []
    for weight in (-1.0, 1e-6, 1.0):
        bonus = {"entropy_weight": weight, "entropy_alpha": alpha}
        ends.append(logged(trained(tmp_path, llama(), bonus=bonus, max_steps=6), "entropy")[-1])
    assert ends[0] < ends[1] - 0.01
    assert ends[2] > ends[1] + 0.01


@pytest.mark.parametrize("every", [1, 2])
def test_resumes_exactly(tmp_path, every):
    bonus = {"entropy_weight": Linear(0.5, 0.0, 8), "entropy_alpha": Harmonic(0.5, 4.0, 6)}
    options = {"optim": "adamw_torch", "lr_scheduler_type": "linear", "max_steps": 6, "logging_steps": every}
    whole = trained(tmp_path / "a", llama(), bonus=bonus, save_strategy="steps", save_steps=2, **options)
    checkpoint = str(tmp_path / "a" / "checkpoint-2")
    rest = trained(tmp_path / "b", llama(), bonus=bonus, resume=checkpoint, **options)
    assert torch.equal(weights(rest), weights(whole))
    for name in ("entropy", "entropy_weight", "entropy_alpha"):
        assert logged(rest, name) == logged(whole, name)
        assert len(set(logged(whole, name))) == 6 // every


def test_logged_entropy_is_of_the_labels(tmp_path):
    """The mean between two logging steps is that of all labelled positions, not of micro-batches."""
    bonus = {"entropy_weight": 1e-9, "entropy_alpha": 2.0}
    options = {"gradient_accumulation_steps": 1, "max_steps": 4, "logging_steps": 4, "learning_rate": 0.0}
    found = trained(tmp_path, llama(), bonus=bonus, **options)
    data = batch(texts())
    with torch.no_grad():
        logits = llama()(input_ids=data["input_ids"]).logits[:, :-1]
    expected = renyi.entropy_from_logits(logits[data["labels"][:, 1:] != -100], 2.0).mean().item()
    assert logged(found, "entropy") == [pytest.approx(expected, rel=1e-6)]


def test_positions_without_label_have_no_gradient(tmp_path):
    trainer = RenyiTrainer(
        model=llama(), args=arguments(tmp_path), train_dataset=texts(), entropy_weight=1.0, entropy_alpha=2.0
    )
    kept = {}

    def keep(module, args, outputs):
        outputs.logits.retain_grad()
        kept["logits"] = outputs.logits
        outputs["loss"] = outputs.logits.sum() * 0

    trainer.model.register_forward_hook(keep)
    trainer.model.train()
    data = batch(texts())
    trainer.compute_loss(trainer.model, data, num_items_in_batch=torch.tensor(49)).backward()
    gradient = kept["logits"].grad
    valid = data["labels"][:, 1:] != -100
    assert int(valid.sum()) == 49
    assert (gradient[:, -1] == 0).all()
    assert (gradient[:, :-1][~valid] == 0).all()
    assert (gradient[:, :-1][valid].abs().amax(-1) > 0).all()
    logits = kept["logits"].detach()[:, :-1][valid].requires_grad_()
    (-renyi.entropy_from_logits(logits, 2.0).mean()).backward()
    torch.testing.assert_close(gradient[:, :-1][valid], logits.grad, rtol=1e-5, atol=1e-9)


def test_evaluation_is_the_models_own(tmp_path):
    found = trained(tmp_path, llama(), bonus={"entropy_weight": 1.0}, max_steps=1)
    plain = transformers.Trainer(model=found.model, args=arguments(tmp_path))
    rows = texts(4)
    assert found.evaluate(rows)["eval_loss"] == plain.evaluate(rows)["eval_loss"]
    assert not [entry for entry in found.state.log_history if "eval_loss" in entry and "entropy" in entry]


@pytest.mark.parametrize("accumulated", [1, 2])
def test_classifier(tmp_path, accumulated):
    """Labels that are not shifted; one of each row. The micro-batches are of one size, so that weights are alike."""
    rows = [{"input_ids": row["input_ids"], "labels": torch.tensor(k % 5)} for k, row in enumerate(texts())]
    model = classifier()
    # its class takes num_items_in_batch and leaves it unused (Transformers 5.24): Trainer is told so in this way
    model.accepts_loss_kwargs = False
    found = trained(
        tmp_path,
        model,
        rows,
        bonus={"entropy_weight": 0.3, "entropy_alpha": 2.0},
        per_device_train_batch_size=8 // accumulated,
        gradient_accumulation_steps=accumulated,
        max_steps=2,
    )
    model, data = classifier(), batch(rows)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(2):
        logits = model(input_ids=data["input_ids"]).logits
        loss = torch.nn.functional.cross_entropy(logits, data["labels"])
        loss = loss - 0.3 * renyi.entropy_from_logits(logits, 2.0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    expected = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    torch.testing.assert_close(weights(found), expected, rtol=0, atol=2e-6)


class Table(torch.nn.Module):
    """A model that does not take ``num_items_in_batch``: Trainer averages the losses of micro-batches."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(VOCABULARY, 5)

    def forward(self, input_ids, labels):
        logits = self.table(input_ids)
        return {"loss": torch.nn.functional.cross_entropy(logits.mT, labels), "logits": logits}


def custom_loss(outputs, labels, num_items_in_batch=None):
    total = torch.nn.functional.cross_entropy(outputs["logits"].mT, labels, reduction="sum")
    return total / num_items_in_batch


def own_loss_rows():
    rows = []
    for row in texts():
        labels = torch.where(row["labels"] > 0, row["labels"] % 5, -100)
        rows.append({"input_ids": row["input_ids"], "labels": labels})
    return rows


def test_loss_function_of_the_user(tmp_path):
    rows = own_loss_rows()
    model, data = Table(), batch(rows)
    model.forward = lambda input_ids, labels=None: {"logits": model.table(input_ids)}
    bonus = {"entropy_weight": 0.7, "entropy_alpha": 0.5, "compute_loss_func": custom_loss}
    found = trained(tmp_path, model, rows, bonus=bonus, max_steps=1)
    table, labels = Table().table, data["labels"]
    valid = labels != -100
    logits = table(data["input_ids"])
    loss = custom_loss({"logits": logits}, labels, valid.sum())
    (loss - 0.7 * renyi.entropy_from_logits(logits[valid], 0.5).mean()).backward()
    expected = table.weight - 0.05 * table.weight.grad
    torch.testing.assert_close(weights(found), expected.detach().flatten(), rtol=0, atol=1e-6)


def test_model_without_num_items(tmp_path):
    """Micro-batches weigh alike, in the bonus as in the loss."""
    rows = own_loss_rows()
    bonus = {"entropy_weight": 0.7, "entropy_alpha": 0.5}
    options = {"max_steps": 1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    found = trained(tmp_path, Table(), rows, bonus=bonus, **options)
    table, total = Table().table, 0.0
    for row in rows:
        logits, valid = table(row["input_ids"]), row["labels"] != -100
        loss = torch.nn.functional.cross_entropy(logits, row["labels"])
        total = total + (loss - 0.7 * renyi.entropy_from_logits(logits[valid], 0.5).mean()) / 8
    total.backward()
    expected = table.weight - 0.05 * table.weight.grad
    torch.testing.assert_close(weights(found), expected.detach().flatten(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("stated", "items"), [(True, None), (True, 40), (False, None), (False, 40), (None, None)])
def test_scale_that_a_subclass_states(tmp_path, stated, items):
    """``loss_is_scaled_for_ga``: whether the loss is already divided by all micro-batches of a step.

    Where it is None, Trainer takes that of a loss function of the user's to be so.
    """
    bonus = {"entropy_weight": 0.7, "entropy_alpha": 0.5}
    if stated is None:
        bonus["compute_loss_func"] = lambda outputs, labels, num_items_in_batch: torch.zeros(())
    scaled = stated is not False
    trainer = RenyiTrainer(model=Table(), args=arguments(tmp_path), **bonus)
    trainer.model_accepts_loss_kwargs = items is not None
    trainer.loss_is_scaled_for_ga, trainer.current_gradient_accumulation_steps = stated, 4
    trainer.model.forward = lambda input_ids, labels=None, num_items_in_batch=None: {
        "loss": torch.zeros(()),
        "logits": trainer.model.table(input_ids),
    }
    trainer.model.train()
    data = batch(own_loss_rows())
    found = trainer.compute_loss(trainer.model, dict(data), num_items_in_batch=items).item()
    valid = data["labels"] != -100
    entropies = renyi.entropy_from_logits(trainer.model.table(data["input_ids"])[valid], 0.5)
    expected = (
        entropies.mean() / 4 if items is None and scaled else entropies.sum() / 40 if scaled else entropies.mean()
    )
    assert found == pytest.approx(-0.7 * expected.item(), rel=1e-6)


def test_training_twice(tmp_path):
    """What the first run had not logged yet is not in what the second one logs."""
    bonus = {"entropy_weight": 1.0, "entropy_alpha": 2.0}
    twice = trained(tmp_path, llama(), bonus=bonus, max_steps=3, logging_steps=2)
    model = llama()
    model.load_state_dict(twice.model.state_dict())
    twice.train()
    once = trained(tmp_path, model, bonus=bonus, max_steps=3, logging_steps=2)
    assert logged(twice, "entropy") == logged(once, "entropy")


def test_shift_of_wrapped_and_of_derived_models(tmp_path):
    class Derived(transformers.GPT2LMHeadModel):
        pass

    class Wrapped(Table):
        def get_base_model(self):
            return llama()

    for model, shifts in ((Derived(gpt2().config), True), (Wrapped(), True), (Table(), False), (classifier(), False)):
        trainer = RenyiTrainer(model=model, args=arguments(tmp_path), entropy_weight=1.0)
        assert trainer._entropy_shifts is shifts
    trainer = RenyiTrainer(model=llama(), args=arguments(tmp_path), entropy_weight=1.0, shift_labels=False)
    assert trainer._entropy_shifts is False


def test_gpt2_is_shifted_and_divided_as_its_loss(tmp_path):
    rows = texts()
    found = trained(tmp_path, gpt2(), rows, bonus={"entropy_weight": 0.5, "entropy_alpha": 2.0}, max_steps=1)
    model, data = gpt2(), batch(rows)
    items = (data["labels"] != -100).sum()
    logits, labels = model(input_ids=data["input_ids"]).logits[:, :-1], data["labels"][:, 1:]
    valid = labels != -100
    loss = torch.nn.functional.cross_entropy(logits[valid], labels[valid], reduction="sum")
    ((loss - 0.5 * renyi.entropy_from_logits(logits[valid], 2.0).sum()) / items).backward()
    expected = torch.cat([(p - 0.05 * p.grad).detach().flatten() for p in model.parameters()])
    torch.testing.assert_close(weights(found), expected, rtol=0, atol=2e-6)


def test_label_smoothing(tmp_path):
    """Where the labels are taken out of the inputs."""
    plain = trained(tmp_path, llama(), kind=transformers.Trainer, label_smoothing_factor=0.1, max_steps=1)
    bonus = {"entropy_weight": 0.25, "entropy_alpha": 2.0}
    found = trained(tmp_path, llama(), bonus=bonus, label_smoothing_factor=0.1, max_steps=1)
    difference = logged(plain, "loss")[0] - logged(found, "loss")[0]
    assert difference == pytest.approx(0.25 * logged(found, "entropy")[0], rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits(tmp_path, dtype):
    """The entropies are float32 numbers, not rounded to three digits."""
    model, data = llama(dtype), batch(texts())
    trainer = RenyiTrainer(model=model, args=arguments(tmp_path), train_dataset=texts(), entropy_weight=1.0)
    kept = {}
    model.register_forward_hook(lambda module, args, outputs: kept.update(outputs))
    model.train()
    trainer.compute_loss(model, data, num_items_in_batch=torch.tensor(49)).backward()
    valid = data["labels"][:, 1:] != -100
    expected = renyi.entropy_from_logits(kept["logits"].detach()[:, :-1][valid].double(), 1.0)
    total, count = trainer._entropy_sums.tolist()
    assert count == 49
    assert total == pytest.approx(expected.sum().item(), rel=1e-6)
    assert all(parameter.grad.dtype == dtype for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_the_logits_alone(tmp_path, dtype):
    """Of what is kept for backward, what is as large as the logits is the logits."""
    trainer = RenyiTrainer(model=Table(), args=arguments(tmp_path), entropy_weight=1.0, shift_labels=True)
    logits = torch.randn(4, 8, 1000).to(dtype).requires_grad_()
    kept, base = [], {"loss": logits[0, 0, 0].float(), "logits": logits}
    trainer.model.forward = lambda input_ids, labels: base
    trainer.model.train()
    data = {"input_ids": torch.zeros(4, 8), "labels": torch.randint(1000, (4, 8))}
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        loss = trainer.compute_loss(trainer.model, data)
    large = [x for x in kept if x.numel() >= logits.numel()]
    assert large
    assert all(x.data_ptr() == logits.data_ptr() for x in large)
    loss.backward()
    assert (logits.grad[:, -1] == 0).all()
    assert (logits.grad[:, :-1] != 0).any(-1).all()


def test_other_trainers(tmp_path):
    class Mixed(RenyiTrainerMixin, transformers.Seq2SeqTrainer):
        pass

    options = transformers.Seq2SeqTrainingArguments(**arguments(tmp_path).to_dict() | {"max_steps": 1})
    trainer = Mixed(model=llama(), args=options, train_dataset=texts(), entropy_weight=0.5, entropy_alpha=2.0)
    trainer.train()
    same = trained(tmp_path, llama(), bonus={"entropy_weight": 0.5, "entropy_alpha": 2.0}, max_steps=1)
    assert torch.equal(weights(trainer), weights(same))


@pytest.mark.parametrize(
    ("bonus", "error", "message"),
    [
        ({}, TypeError, "entropy_weight"),
        ({"entropy_weight": "0.1"}, TypeError, "`entropy_weight` must be a real number, got '0.1'"),
        ({"entropy_weight": math.nan}, ValueError, "`entropy_weight` must be finite, got nan"),
        ({"entropy_weight": Constant(math.inf)}, ValueError, "`entropy_weight` must be finite, got inf"),
        ({"entropy_weight": 1.0, "entropy_alpha": -1.0}, ValueError, "`entropy_alpha` must be >= 0, got -1.0"),
        ({"entropy_weight": 1.0, "entropy_alpha": math.nan}, ValueError, "`entropy_alpha` must be >= 0, got nan"),
        ({"entropy_weight": 1.0, "entropy_alpha": lambda step: None}, TypeError, "`entropy_alpha` must be a real"),
    ],
)
def test_bad_configuration(tmp_path, bonus, error, message):
    with pytest.raises(error, match=message.replace("(", "\\(")):
        RenyiTrainer(model=llama(), args=arguments(tmp_path), **bonus)


def test_what_leaves_nothing_to_measure(tmp_path):
    trainer = RenyiTrainer(model=llama(), args=arguments(tmp_path), entropy_weight=1.0)
    trainer.model.train()
    data = batch(texts())
    trainer.model.register_forward_hook(lambda module, args, outputs: {"loss": outputs.loss, "logits": None})
    with pytest.raises(ValueError, match="no `logits`"):
        trainer.compute_loss(trainer.model, data)
    trainer = RenyiTrainer(model=Table(), args=arguments(tmp_path), entropy_weight=1.0, shift_labels=True)
    trainer.model.train()
    rows = batch(own_loss_rows())
    trainer.model.forward = lambda input_ids, labels: {"loss": 0.0, "logits": trainer.model.table(input_ids)[:, :4]}
    with pytest.raises(ValueError, match=r"`labels` of shape \(8, 9\) do not fit distributions of shape \(8, 4\)"):
        trainer.compute_loss(trainer.model, rows)
    trainer.model.forward = lambda input_ids: {"loss": 0.0, "logits": trainer.model.table(input_ids)}
    with pytest.raises(ValueError, match="the inputs have no `labels`"):
        trainer.compute_loss(trainer.model, {"input_ids": rows["input_ids"]})


def test_settings_that_do_not_go_with_it(tmp_path):
    options = arguments(tmp_path)
    # Liger itself is not needed to be refused
    options.use_liger_kernel = True
    with pytest.raises(ValueError, match="`use_liger_kernel` leaves no logits"):
        RenyiTrainer(model=llama(), args=options, entropy_weight=1.0)
    options = arguments(tmp_path)
    options._n_gpu = 2
    with pytest.raises(ValueError, match="one process must have one GPU"):
        RenyiTrainer(model=llama(), args=options, entropy_weight=1.0)


def test_without_transformers():
    code = "import sys; sys.modules['transformers'] = None; import renyi_adapters.transformers"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install renyi-core[transformers]" in result.stderr


SPREAD = {"entropy_weight": Linear(0.5, 0.1, 2), "entropy_alpha": 2.0}


def work(path):
    """Train as one of two processes, which ``torchrun`` would have started."""
    torch.set_num_threads(1)
    options = {"per_device_train_batch_size": 1, "ddp_backend": "gloo"}
    found = trained(path, llama(), bonus=SPREAD, **options)
    if os.environ["RANK"] == "0":
        torch.save(weights(found), f"{path}/parameters")
        log = json.dumps({name: logged(found, name) for name in ("entropy", "entropy_weight")})
        Path(path, "log").write_text(log, encoding="utf-8")
    torch.distributed.barrier()
    # the end of the interpreter would wait for the other process's threads
    os._exit(0)


def test_two_processes(tmp_path):
    """Of unequal numbers of labels: a step is that of one process, and so is what is logged."""
    if not torch.distributed.is_available():
        pytest.skip("torch.distributed is not in this build")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    processes = []
    for rank in range(2):
        environment = os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        command = [sys.executable, __file__, str(tmp_path)]
        with (tmp_path / f"errors-{rank}").open("w", encoding="utf-8") as errors:
            processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors))
    end = time.monotonic() + 120
    try:
        # one that fails would leave the other waiting
        while any(process.poll() is None for process in processes) and time.monotonic() < end:
            if any(process.poll() for process in processes):
                break
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    errors = [(tmp_path / f"errors-{rank}").read_text(encoding="utf-8") for rank in range(2)]
    assert [process.returncode for process in processes] == [0, 0], errors
    parameters, entropies, _ = by_hand(llama(), 3, SPREAD["entropy_weight"], Constant(2.0))
    torch.testing.assert_close(torch.load(tmp_path / "parameters"), parameters, rtol=0, atol=2e-6)
    log = json.loads((tmp_path / "log").read_text(encoding="utf-8"))
    assert log["entropy"] == pytest.approx(entropies, rel=1e-6)
    assert log["entropy_weight"] == [0.5, SPREAD["entropy_weight"](1), 0.1]


if __name__ == "__main__":
    work(sys.argv[1])
