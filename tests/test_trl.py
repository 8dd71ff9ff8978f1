"""GRPO with an entropy of any order, on a tiny model of random weights and a reward that counts a word."""

from __future__ import annotations

import importlib
import math
import re
import subprocess
import sys
import warnings

import pytest

BACKENDS = ("torch",)
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
tokenizers = pytest.importorskip("tokenizers")

import renyi_core as renyi  # noqa: E402
import renyi_training  # noqa: E402
from renyi_core.schedules import Constant, Linear  # noqa: E402
from renyi_training.transformers import RenyiTrainerMixin  # noqa: E402

with warnings.catch_warnings():
    # a newer version runs the tests as well
    warnings.filterwarnings("ignore", message="renyi_training.trl is tested with TRL")
    from renyi_training.trl import RenyiGRPOTrainer

pytestmark = [
    pytest.mark.usefixtures("backend"),
    # names that TRL itself uses
    pytest.mark.filterwarnings("ignore:`.*gradient_checkpointing.*` is deprecated:FutureWarning"),
]

WORDS = ["<pad>", "<eos>", "<unk>", *(f"w{k}" for k in range(29))]


def tokenizer():
    model = tokenizers.models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="<unk>")
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def model_of(family, **options):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=32,
        initializer_range=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        **options,
    )
    return getattr(transformers, f"{family}ForCausalLM")(config)


def llama(**options):
    return model_of("Llama", **options)


def reward(completions, **kwargs):
    return [float(text.split().count("w3")) + 0.1 * len(text.split()) for text in completions]


def trainer(path, kind=RenyiGRPOTrainer, model=None, bonus=None, **options):
    settings = {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "num_generations": 4,
        "max_completion_length": 6,
        "max_steps": 3,
        "learning_rate": 0.05,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
        "temperature": 0.8,
        "seed": 0,
    }
    return kind(
        model=llama() if model is None else model,
        reward_funcs=reward,
        args=trl.GRPOConfig(output_dir=str(path), **(settings | options)),
        train_dataset=datasets.Dataset.from_dict({"prompt": ["w1 w2", "w5", "w7 w8 w9", "w4"]}),
        processing_class=tokenizer(),
        **({} if bonus is None else bonus),
    )


def trained(path, **options):
    made = trainer(path, **options)
    made.train()
    return made


def weights(made):
    return torch.cat([parameter.detach().flatten() for parameter in made.model.parameters()])


def logged(made, name):
    return [entry[name] for entry in made.state.log_history if name in entry]


def tokens():
    ids = torch.randint(2, len(WORDS), (3, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    mask[0, -2:] = 0
    return ids, mask


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 1.0, math.inf])
def test_entropies_of_the_completion(tmp_path, alpha, bias):
    model = llama()
    if bias:
        model.lm_head = torch.nn.Linear(16, len(WORDS))
    made = trainer(tmp_path, model=model, bonus={"entropy_alpha": alpha})
    ids, mask = tokens()
    _, found, _ = made._get_per_token_logps_and_entropies(made.model, ids, mask, 6, compute_entropy=True)
    logits = made.model(input_ids=ids, attention_mask=mask).logits[:, -7:-1] / 0.8
    expected = renyi.entropy_from_logits(logits, alpha)
    assert (found[0, -2:] == 0).all()
    torch.testing.assert_close(found[mask[:, -6:] == 1], expected[mask[:, -6:] == 1], rtol=1e-5, atol=1e-6)
    parameters = list(made.model.parameters())
    part = (mask[:, -6:] == 1).to(found.dtype)
    pairs = [torch.autograd.grad((value * part).sum(), parameters) for value in (found, expected)]
    for ours, theirs in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_labels_that_are_shifted_already(tmp_path):
    made = trainer(tmp_path, bonus={"entropy_alpha": 2.0})
    ids, _ = tokens()
    labels = torch.where(ids % 3 > 0, ids, -100)
    found = made.model(input_ids=ids, shift_labels=labels, fused_lm_head=True).entropy
    expected = renyi.entropy_from_logits(made.model(input_ids=ids).logits / 0.8, 2.0)
    torch.testing.assert_close(found, torch.where(labels != -100, expected, 0.0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("autocast", [False, True])
def test_head_in_float32(tmp_path, autocast):
    """Also where everything else is in bfloat16."""
    made = trainer(tmp_path, model=llama().to(torch.bfloat16), bonus={"entropy_alpha": 2.0}, cast_lm_head_to_fp32=True)
    ids, _ = tokens()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = made.model(input_ids=ids, labels=ids, fused_lm_head=True).entropy
        hidden = made.model.base_model(input_ids=ids).last_hidden_state[:, :-1].float()
    logits = torch.nn.functional.linear(hidden, made.model.lm_head.weight.float()) / 0.8
    torch.testing.assert_close(found, renyi.entropy_from_logits(logits, 2.0), rtol=1e-5, atol=1e-6)


def test_order_1_is_trls_bonus(tmp_path):
    plain = trained(tmp_path, kind=trl.GRPOTrainer, entropy_coef=0.3)
    found = trained(tmp_path, entropy_coef=0.3)
    torch.testing.assert_close(weights(found), weights(plain), rtol=0, atol=5e-6)
    assert logged(found, "entropy") == pytest.approx(logged(plain, "entropy"), rel=1e-5)
    without = trained(tmp_path, kind=trl.GRPOTrainer)
    assert (weights(plain) - weights(without)).abs().max() > 1e-3


@pytest.mark.parametrize("weight", [None, 0.0, Constant(0.0)])
def test_weight_of_0_trains_as_trl(tmp_path, weight):
    plain = trained(tmp_path, kind=trl.GRPOTrainer)
    found = trained(tmp_path, bonus={"entropy_alpha": 2.0, "entropy_weight": weight})
    assert torch.equal(weights(found), weights(plain))
    assert logged(found, "loss") == logged(plain, "loss")


def test_weight_of_0_takes_no_entropy(tmp_path, monkeypatch):
    plain = trained(tmp_path, kind=trl.GRPOTrainer)
    monkeypatch.setattr("renyi_training.trl.linear_entropy", None)
    found = trained(tmp_path, bonus={"entropy_alpha": 2.0, "entropy_weight": 0.0})
    assert logged(found, "entropy") == logged(plain, "entropy")
    with pytest.raises(TypeError, match="NoneType"):
        trained(tmp_path, bonus={"entropy_alpha": 2.0, "entropy_weight": 0.1})


def test_schedules(tmp_path):
    weight, alpha = Linear(0.3, 0.1, 2), Linear(0.5, 2.0, 2)
    found = trained(tmp_path, bonus={"entropy_alpha": alpha, "entropy_weight": weight})
    assert logged(found, "entropy_coef") == pytest.approx([weight(step) for step in range(3)])
    fixed = trained(tmp_path, bonus={"entropy_alpha": 0.5, "entropy_weight": 0.3}, max_steps=1)
    first = trained(tmp_path, bonus={"entropy_alpha": alpha, "entropy_weight": weight}, max_steps=1)
    assert torch.equal(weights(first), weights(fixed))
    other = trained(tmp_path, bonus={"entropy_alpha": 0.5, "entropy_weight": weight})
    assert (weights(found) - weights(other)).abs().max() > 1e-5


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_direction(tmp_path, alpha):
    """Of the entropy at fixed tokens, after some steps with a bonus and with a penalty."""
    ids = torch.randint(2, len(WORDS), (4, 9), generator=torch.Generator().manual_seed(3))
    ends = []
    for weight in (-1.0, 0.0, 1.0):
        made = trained(tmp_path, bonus={"entropy_alpha": alpha, "entropy_weight": weight}, max_steps=5)
        with torch.no_grad():
            ends.append(renyi.entropy_from_logits(made.model(input_ids=ids).logits, alpha).mean().item())
    assert ends[0] < ends[1] - 0.005
    assert ends[2] > ends[1] + 0.005


def test_resumes_at_its_step(tmp_path):
    """TRL 1.16 samples other completions after a checkpoint; weight and order follow the global step."""
    weight = Linear(0.3, 0.0, 5)
    orders = []

    def alpha(step):
        orders.append((step, 0.5 + step))
        return 0.5 + step

    options = {"bonus": {"entropy_alpha": alpha, "entropy_weight": weight}, "max_steps": 4}
    trained(tmp_path / "a", save_strategy="steps", save_steps=2, **options)
    rest = trainer(tmp_path / "b", **options)
    orders.clear()
    rest.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    assert set(orders) == {(2, 2.5), (3, 3.5)}
    assert logged(rest, "entropy_coef")[-2:] == pytest.approx([weight(2), weight(3)])


@pytest.mark.parametrize(
    ("bonus", "error", "message"),
    [
        ({"entropy_alpha": -1.0}, ValueError, "`entropy_alpha` must be >= 0, got -1.0"),
        ({"entropy_alpha": "1"}, TypeError, "`entropy_alpha` must be a real number, got '1'"),
        ({"entropy_weight": math.inf}, ValueError, "`entropy_weight` must be finite, got inf"),
        ({"entropy_weight": lambda step: "1"}, TypeError, "`entropy_weight` must be a real number"),
    ],
)
def test_bad_configuration(tmp_path, bonus, error, message):
    with pytest.raises(error, match=message):
        trainer(tmp_path, bonus=bonus)


def test_what_does_not_go_with_it(tmp_path):
    with pytest.raises(ValueError, match="both set the weight"):
        trainer(tmp_path, bonus={"entropy_weight": 0.1}, use_adaptive_entropy=True)


AFTER_HEAD = {
    "Gemma2": {"final_logit_softcapping": 0.5, "head_dim": 8, "sliding_window": 16},
    "Cohere": {"logit_scale": 0.25},
    "Granite": {"logits_scaling": 4.0},
    "HyperCLOVAX": {"logits_scaling": 4.0},
}


@pytest.mark.parametrize("family", AFTER_HEAD)
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_models_that_change_their_logits(tmp_path, family, alpha):
    """The bonus and its gradient are those of a loop over the model's own logits."""
    made = trainer(tmp_path, model=model_of(family, **AFTER_HEAD[family]), bonus={"entropy_alpha": alpha})
    ids, mask = tokens()
    part = mask[:, -6:] == 1
    _, found, _ = made._get_per_token_logps_and_entropies(made.model, ids, mask, 6, compute_entropy=True)
    logits = made.model(input_ids=ids, attention_mask=mask).logits[:, -7:-1] / 0.8
    rows = [renyi.entropy_from_logits(row, alpha) for row in logits[part]]
    torch.testing.assert_close(found[part], torch.stack(rows), rtol=1e-5, atol=1e-6)
    parameters = list(made.model.parameters())
    pairs = [torch.autograd.grad(total, parameters) for total in (found.sum(), sum(rows))]
    for ours, theirs in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * max(1.0, theirs.abs().max()))


def test_a_capped_model_trains_as_trl_at_order_1(tmp_path):
    plain, found = (
        trained(tmp_path, kind=kind, model=model_of("Gemma2", **AFTER_HEAD["Gemma2"]), entropy_coef=0.3)
        for kind in (trl.GRPOTrainer, RenyiGRPOTrainer)
    )
    torch.testing.assert_close(weights(found), weights(plain), rtol=0, atol=5e-6)
    assert logged(found, "entropy") == pytest.approx(logged(plain, "entropy"), rel=1e-5)


def test_nothing_to_score(tmp_path):
    """A batch without labels has a bonus of 0, which can be differentiated."""
    made = trainer(tmp_path, bonus={"entropy_alpha": 2.0})
    ids, _ = tokens()
    found = made.model(input_ids=ids, labels=torch.full_like(ids, -100), fused_lm_head=True).entropy
    found.sum().backward()
    assert not found.any()
    assert not any(parameter.grad.any() for parameter in made.model.parameters())


# of the forward that TRL adds for the logits
@pytest.mark.filterwarnings("ignore:`return_outputs=True`:FutureWarning")
def test_sft_has_no_logits(tmp_path):
    """What the mixin for Trainers says of TRL's."""

    class Mixed(RenyiTrainerMixin, trl.SFTTrainer):
        pass

    options = {"max_steps": 1, "use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True}
    made = Mixed(
        model=llama(),
        args=trl.SFTConfig(output_dir=str(tmp_path), **options),
        train_dataset=datasets.Dataset.from_dict({"text": ["w1 w2 w3 w4", "w5 w6"]}),
        processing_class=tokenizer(),
        entropy_weight=0.1,
    )
    with pytest.raises(ValueError, match="have no gradient: the loss was computed without them"):
        made.train()


def imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "renyi_training.trl")
    return importlib.import_module("renyi_training.trl")


@pytest.mark.parametrize("version", ["1.15.0", "1.17.0", "1.160.0", "2.0.0.dev0"])
def test_a_version_that_was_not_tried_warns(monkeypatch, version):
    monkeypatch.setattr(trl, "__version__", version)
    with pytest.warns(UserWarning, match=rf"is tested with TRL 1\.16, not with {re.escape(version)}: .*pip install"):
        assert imported(monkeypatch).RenyiGRPOTrainer


@pytest.mark.parametrize("version", ["1.16.0", "1.16.3"])
def test_a_version_that_was_tried(monkeypatch, version):
    monkeypatch.setattr(trl, "__version__", version)
    imported(monkeypatch)


@pytest.mark.parametrize(
    ("method", "lacks"),
    [
        ("__init__", "_entropy_bonus_enabled, add_fused_lm_head, entropy_coef, use_adaptive_entropy"),
        ("_get_per_token_logps_and_entropies", "entropy"),
        ("_compute_loss", "_entropy_bonus_enabled, entropy_coef"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_a_version_without_what_is_replaced_is_an_error_at_import(monkeypatch, method, lacks, there):
    names = renyi_training.trl.USED
    other = {name: getattr(trl.GRPOTrainer, name) for name in names if name != method}
    if there or method == "__init__":
        other[method] = lambda self: None
    monkeypatch.setattr(trl, "GRPOTrainer", type("GRPOTrainer", (), other))
    message = f"has no {lacks} to replace: pip install 'trl==1.16.*'"
    with pytest.raises(ImportError, match=re.escape(message)):
        imported(monkeypatch)


def test_without_trl():
    code = "import sys; sys.modules['trl'] = None; import renyi_training.trl"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install renyi-core[trl]" in result.stderr
