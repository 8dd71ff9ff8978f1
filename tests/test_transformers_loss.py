"""What the Trainer's bonus is of: labels, losses, types of numbers, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from transformers_cases import VOCABULARY, arguments, batch, classifier, llama, logged, texts, trained, weights  # noqa: E402

import renyi_core as renyi  # noqa: E402
from renyi_core.regularizers import BalanceTerm, DivergenceTerm, EntropyBonus  # noqa: E402
from renyi_core.schedules import Constant, Linear  # noqa: E402
from renyi_training.transformers import RenyiTrainer, RenyiTrainerMixin, entropy_loss  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")


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
    assert -total == pytest.approx(expected.sum().item(), rel=1e-6)
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
        ({"entropy_weight": 1.0, "regularizer": BalanceTerm()}, TypeError, "`regularizer` must be a term with a value"),
        ({"entropy_weight": 1.0, "regularizer": DivergenceTerm()}, TypeError, "`regularizer` must be a term with"),
        ({"entropy_weight": 1.0, "regularizer": 0.1}, TypeError, "each row of logits, got 0.1"),
        (
            {"entropy_weight": 1.0, "regularizer": EntropyBonus(), "entropy_alpha": 2.0},
            ValueError,
            "`entropy_alpha` is of the entropy that `regularizer` replaces, got 2.0",
        ),
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


@pytest.mark.parametrize("accumulated", [1, 4])
@pytest.mark.parametrize("alpha", [0, 0.5, 1, 2, math.inf])
def test_entropy_loss_equals_a_loop_written_by_hand(tmp_path, alpha, accumulated):
    """However the step is cut into micro-batches, of unequal numbers of labels."""
    sizes = {"per_device_train_batch_size": 8 // accumulated, "gradient_accumulation_steps": accumulated}
    bonus = {"compute_loss_func": entropy_loss(alpha=alpha, weight=0.5)}
    found = trained(tmp_path, llama(), kind=transformers.Trainer, bonus=bonus, max_steps=2, **sizes)
    model, data = llama(), batch(texts())
    for _ in range(2):
        logits, labels = model(input_ids=data["input_ids"]).logits[:, :-1], data["labels"][:, 1:]
        valid = labels != -100
        loss = torch.nn.functional.cross_entropy(logits[valid], labels[valid])
        loss = loss - 0.5 * renyi.entropy_from_logits(logits[valid], alpha).mean()
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(parameter.grad, alpha=0.05)
    expected = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    torch.testing.assert_close(weights(found), expected, rtol=0, atol=2e-6)
    assert logged(found, "loss")[-1] == pytest.approx(loss.item(), rel=1e-5)


def test_entropy_loss_is_the_trainers_where_it_should_be(tmp_path):
    """Of weight 0, and in evaluation; and with a weight RenyiTrainer's."""
    plain = trained(tmp_path, llama(), kind=transformers.Trainer)
    found = trained(
        tmp_path, llama(), kind=transformers.Trainer, bonus={"compute_loss_func": entropy_loss(alpha=2.0, weight=0.0)}
    )
    assert torch.equal(weights(found), weights(plain))
    assert logged(found, "loss") == logged(plain, "loss")
    found.compute_loss_func = entropy_loss(alpha=2.0, weight=1.0)
    rows = texts(4)
    assert found.evaluate(rows)["eval_loss"] == pytest.approx(plain.evaluate(rows)["eval_loss"], rel=1e-6)
    holder = []

    def weight():
        return Linear(0.5, 0.1, 2)(holder[0].state.global_step)

    schedule = {"compute_loss_func": entropy_loss(alpha=lambda: 2.0, weight=weight)}
    holder.append(transformers.Trainer(llama(), arguments(tmp_path), train_dataset=texts(), **schedule))
    holder[0].train()
    same = trained(tmp_path, llama(), bonus={"entropy_weight": Linear(0.5, 0.1, 2), "entropy_alpha": 2.0})
    torch.testing.assert_close(weights(holder[0]), weights(same), rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("alpha", [0, 0.5, 1, 2, math.inf])
def test_positions_without_label_have_no_part_in_entropy_loss(alpha, dtype):
    loss = entropy_loss(alpha=alpha, weight=0.7)
    logits = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    labels = torch.tensor([[-100, 1, -100, 3], [-100, -100, -100, -100]])
    value = loss({"logits": logits}, labels)
    value.backward()
    counted = logits.detach()[0, [0, 2]].double()
    expected = torch.nn.functional.cross_entropy(counted, labels[0, [1, 3]])
    expected = expected - 0.7 * renyi.entropy_from_logits(counted, alpha).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.equal(logits.grad.abs().amax(-1) > 0, torch.tensor([[True, False, True, False], [False] * 4]))
    assert loss({"logits": logits}, torch.full_like(labels, -100)) == 0


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_direction_of_entropy_loss(tmp_path, alpha):
    data, ends = batch(texts()), []
    for weight in (-1.0, 0.0, 1.0):
        bonus = {"compute_loss_func": entropy_loss(alpha=alpha, weight=weight)}
        found = trained(tmp_path, llama(), kind=transformers.Trainer, bonus=bonus, max_steps=6)
        with torch.no_grad():
            ends.append(renyi.entropy_from_logits(found.model(input_ids=data["input_ids"]).logits, alpha).mean().item())
    assert ends[0] < ends[1] - 0.01
    assert ends[2] > ends[1] + 0.01


def test_entropy_loss_of_a_classifier(tmp_path):
    rows = [{"input_ids": row["input_ids"], "labels": torch.tensor(k % 5)} for k, row in enumerate(texts())]
    bonus = {"compute_loss_func": entropy_loss(alpha=2.0, weight=0.3, shift_labels=False)}
    found = trained(tmp_path, classifier(), rows, kind=transformers.Trainer, bonus=bonus, max_steps=1)
    model, data = classifier(), batch(rows)
    logits = model(input_ids=data["input_ids"]).logits
    loss = torch.nn.functional.cross_entropy(logits, data["labels"])
    (loss - 0.3 * renyi.entropy_from_logits(logits, 2.0).mean()).backward()
    expected = torch.cat([(p - 0.05 * p.grad).detach().flatten() for p in model.parameters()])
    torch.testing.assert_close(weights(found), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("alpha", "weight", "error", "message"),
    [
        (-1.0, 0.1, ValueError, "`alpha` must be >= 0, got -1.0"),
        ("2", 0.1, TypeError, "`alpha` must be a real number, got '2'"),
        (2.0, math.inf, ValueError, "`weight` must be finite, got inf"),
        (2.0, None, TypeError, "`weight` must be a real number, got None"),
        (2.0, Constant(0.1), TypeError, r"`weight` must be lambda: schedule\(trainer.state.global_step\)"),
        (Constant(2.0), 0.1, TypeError, r"`alpha` must be lambda: schedule"),
    ],
)
def test_bad_entropy_loss(alpha, weight, error, message):
    with pytest.raises(error, match=message):
        entropy_loss(alpha=alpha, weight=weight)


def test_entropy_loss_of_what_leaves_nothing_to_measure():
    loss, logits = entropy_loss(alpha=lambda: -1.0, weight=0.1), torch.zeros(2, 3, requires_grad=True)
    with pytest.raises(ValueError, match=r"`alpha` must be >= 0, got -1\.0"):
        loss({"logits": logits}, torch.zeros(2, dtype=torch.long))
    loss = entropy_loss(alpha=2.0, weight=0.1, shift_labels=False)
    for outputs, labels, message in (
        ({}, torch.zeros(2), "no `logits`"),
        ({"logits": logits}, None, "the inputs have no `labels`"),
        ({"logits": logits.detach()}, torch.zeros(2), "have no gradient"),
        ({"logits": logits}, torch.zeros(3), r"`labels` of shape \(3,\) do not fit distributions of shape \(2,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            loss(outputs, labels)


def test_without_transformers():
    code = "import sys; sys.modules['transformers'] = None; import renyi_training.transformers"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install renyi-core[transformers]" in result.stderr
