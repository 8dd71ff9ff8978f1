"""The example with a language model: its loss against TRL's trainer, its parts, and the whole of it in small."""

from __future__ import annotations

import copy
import importlib
import math
import warnings
from pathlib import Path

import pytest

import renyi_core as renyi

BACKENDS = ("torch",)
pytestmark = [
    pytest.mark.usefixtures("backend"),
    # a name that TRL itself uses
    pytest.mark.filterwarnings("ignore:`.*gradient_checkpointing.*` is deprecated:FutureWarning"),
]
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
for name in ("tokenizers", "matplotlib", "tqdm", "pycountry"):
    pytest.importorskip(name)
import tokenizers  # noqa: E402

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
WORDS = ["<pad>", "<eos>", "<unk>", ".", ",", "Italy", "Japan", "Peru", "Atlantis", "in", "102", "103"]
WORDS += [f"w{k}" for k in range(64 - len(WORDS))]
ENDS = torch.tensor([word in {"<eos>", ".", ","} for word in WORDS])
PROMPT = torch.tensor([20, 21, 22, 23])


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return [importlib.import_module(name) for name in ("llm", "llm_model", "llm_tasks", "harness")]


@pytest.fixture(scope="module")
def llm_model(modules):
    return modules[1]


def tokenizer():
    model = tokenizers.models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="<unk>")
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    found = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    found.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    return found


def llama(seed=0):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    return transformers.LlamaForCausalLM(config)


def walked(llm_model, model, count=60):
    return llm_model.walk(model, PROMPT, ENDS, count, llm_model.draw(torch.Generator().manual_seed(3)), length=4)


def gradients(value, model):
    return torch.cat([part.flatten() for part in torch.autograd.grad(value, list(model.parameters()))])


def test_answers_are_those_of_the_whole_text(llm_model):
    """What begins alike is computed once, and has the logits and gradients of each completion by itself."""
    model = llama()
    answers = walked(llm_model, model)
    whole = torch.cat([PROMPT.expand(60, -1), answers.tokens], dim=1)
    logits = model(whole).logits[:, len(PROMPT) - 1 : -1]
    written = answers.written
    assert len(answers.logits) < written.sum() - 60
    torch.testing.assert_close(answers.logits[answers.rows][written], logits[written], rtol=1e-4, atol=1e-5)
    expected = logits.log_softmax(dim=-1).gather(-1, answers.tokens[..., None])[..., 0]
    pairs = [gradients((value * written).sum(), model) for value in (llm_model.log_probs(answers), expected)]
    torch.testing.assert_close(*pairs, rtol=1e-3, atol=1e-3)
    for tokens, count in zip(answers.tokens.tolist(), written.sum(dim=1).tolist(), strict=True):
        ended = [k for k, token in enumerate(tokens[:count]) if ENDS[token]]
        assert ended == ([] if count == 4 and not ENDS[tokens[3]] else [count - 1])
    again = llm_model.walk(model, PROMPT, ENDS, 60, llm_model.follow(answers.tokens), length=4)
    assert all((a == b).all() for a, b in zip(again, answers, strict=True))


def test_tokens_are_drawn_as_likely_as_they_are(llm_model):
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    row = torch.arange(9_000) % 2
    tokens = llm_model.draw(torch.Generator().manual_seed(0))(logits, row, row < 2, 0)
    for k in range(2):
        found = torch.bincount(tokens[row == k], minlength=3) / (row == k).sum()
        torch.testing.assert_close(found, logits[k].softmax(dim=-1), rtol=0, atol=0.03)


@pytest.mark.parametrize(("remedy", "alpha"), [("none", 1.0), ("bonus", 1.0), ("bonus", 2.0), ("KL", 1.0)])
def test_steps_are_those_of_trl(llm_model, tmp_path, remedy, alpha):
    """The losses and the weights after them are those of RenyiGRPOTrainer, on the completions that it has drawn."""
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="renyi_training.trl is tested with TRL")
        from renyi_training.trl import RenyiGRPOTrainer
    weight = 0.0 if remedy == "none" else 0.3
    # from where it takes the reference
    llama().save_pretrained(tmp_path)
    made = RenyiGRPOTrainer(
        model=transformers.LlamaForCausalLM.from_pretrained(tmp_path),
        reward_funcs=lambda completions, **_: [float(text.count("3")) for text in completions],
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=8,
            num_generations=8,
            max_completion_length=4,
            max_steps=3,
            learning_rate=0.01,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=llm_model.CLIP,
            loss_type="bnpo",
            beta=weight if remedy == "KL" else 0.0,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_dict({"prompt": [" ".join(WORDS[token] for token in PROMPT)]}),
        processing_class=tokenizer(),
        entropy_alpha=alpha,
        entropy_weight=weight if remedy == "bonus" else 0.0,
    )
    batches, losses = [], []
    compute = made._compute_loss

    def recorded(model, inputs):
        batches.append(inputs)
        losses.append(compute(model, inputs))
        return losses[-1]

    made._compute_loss = recorded
    made.train()
    assert any(batch["advantages"].any() for batch in batches)

    model, reference = llama(), llama()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    setting = llm_model.Setting("countries", remedy, alpha, weight, 0.0)
    ends = torch.arange(len(WORDS)) == 1
    for batch, loss in zip(batches, losses, strict=True):
        tokens = batch["completion_ids"]
        walk = [PROMPT, ends, 8, llm_model.follow(tokens), tokens.shape[1]]
        answers = llm_model.walk(model, *walk)
        assert (answers.written == batch["completion_mask"]).all()
        before = llm_model.log_probs(llm_model.walk(reference, *walk)).detach()
        found, entropy = llm_model.loss(answers, batch["advantages"], setting, weight, before)
        assert found.item() == pytest.approx(loss.item(), rel=1e-4, abs=1e-5)
        assert (entropy is None) == (remedy != "bonus")
        found.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), llm_model.CLIP)
        optimizer.step()
        optimizer.zero_grad()
    for ours, theirs in zip(model.parameters(), made.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)


def test_advantages(llm_model):
    found = llm_model.advantages(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert found.tolist() == pytest.approx([0.75 / 0.5001, *3 * [-0.25 / 0.5001]], rel=1e-5)
    assert not llm_model.advantages(torch.ones(4)).any()


def test_nucleus(llm_model):
    """The bonus is on the likeliest tokens alone."""
    answers = walked(llm_model, llama())._replace(logits=torch.randn(200, 64, requires_grad=True))
    setting = llm_model.Setting("countries", "nucleus", 2.0, 1.0, 0.0)
    loss, entropy = llm_model.loss(answers, torch.zeros(60), setting, 1.0)
    mask = renyi.nucleus_mask(answers.logits, llm_model.MASS)
    expected = renyi.entropy_from_logits(answers.logits, 2.0, where=mask)[answers.rows][answers.written].mean()
    assert -loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert entropy == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, answers.logits)
    assert gradient[mask].any()
    assert not gradient[~mask].any()


def test_countries(modules):
    country = modules[2].country
    named = {
        " the Maldives.": "MV",
        " Turkey!": "TR",
        " Türkiye": "TR",
        " Russia,": "RU",
        " Bosnia and Herzegovina.": "BA",
        " America": "US",
        " Scotland (": "GB",
        " Italy and France": "IT",
        " Guinea-Bissau in": "GW",
        " the Democratic Republic of Congo.": "CD",
        " Korea": "KR",
    }
    assert {text: country(text) for text in named} == named
    assert not any(map(country, ["", " Jordan River", " New Mexico", " Atlantis.", " Europe", " Egypt's pyramids"]))


def test_multiples(modules):
    found = list(map(modules[2].multiple, ["102.", " 999", "105,", "103.", "3.", "1002", "102 or so", "012", "102*"]))
    assert found == ["102", "999", "105", *6 * [None]]


@pytest.fixture
def small(modules, monkeypatch):
    """Let the example run with a tiny model."""
    llm, llm_model, llm_tasks, _ = modules
    pair = llama(), tokenizer()
    monkeypatch.setattr(llm_model, "load", lambda: pair)
    llm_model.prompt.cache_clear()
    for name, value in (("GROUP", 8), ("STEPS", 2), ("MEASURED", (1, 2)), ("SAMPLES", 40), ("RATE", 0.01)):
        monkeypatch.setattr(llm_model, name, value)
    for variable, value in llm.MALLOC.items():
        monkeypatch.setenv(variable, value)
    # a tiny model names no country
    some = llm_tasks.Task("w1 w2", "w3", lambda text: "IT" if "2" in text else "JP" if "3" in text else None)
    monkeypatch.setattr(llm_tasks, "TASKS", {"countries": some, "multiples": some})
    yield pair
    llm_model.prompt.cache_clear()


def test_measures(llm_model, small, monkeypatch):
    """Nothing leaks out of what was likely before, and whatever is not the likeliest token out of that alone."""
    model, _ = small
    setting = llm_model.Setting("countries", "none", 1.0, 0.0, 0.0)
    found, right = llm_model.measure(model, model, setting, torch.Generator().manual_seed(5))
    assert found["leak"] < 0.05
    assert found["tail"] < 0.002
    assert found["right"] == right.total() / 40 > 0
    assert found["distinct"] == len(right) == 2
    shares = [count / right.total() for count in right.values()]
    assert found["effective 1"] == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-5)
    assert found["effective 2"] == pytest.approx(1 / sum(p * p for p in shares), rel=1e-5)
    assert found["H 0.5"] > found["H 1"] > found["H 2"] > found["H inf"] > 0
    monkeypatch.setattr(llm_model, "KEPT", 1e-6)
    narrow, _ = llm_model.measure(model, model, setting, torch.Generator().manual_seed(5))
    ids, ends = llm_model.prompt("countries")
    answers = llm_model.walk(model, ids, ends, 40, llm_model.draw(torch.Generator().manual_seed(5)))
    other = (answers.tokens != answers.logits.argmax(dim=-1)[answers.rows]) & answers.written
    assert narrow["leak"] == pytest.approx(other.any(dim=1).float().mean().item())
    top = answers.logits.softmax(dim=-1).amax(dim=-1)[answers.rows][answers.written].mean().item()
    assert narrow["tail"] == pytest.approx(1 - top, abs=1e-5)


@pytest.mark.parametrize("remedy", ["none", "bonus", "nucleus", "KL", "target"])
def test_tuning_leaves_the_model_that_it_begins_with(llm_model, small, remedy):
    before = copy.deepcopy(small[0].state_dict())
    setting = llm_model.Setting("countries", remedy, 2.0, 0.1, 0.5 if remedy == "target" else 0.0)
    rows, right = llm_model.tune(setting, 0)
    assert [row["step"] for row in rows] == ([0, 1, 2] if remedy == "none" else [1, 2])
    assert rows[-1]["distinct"] == len(right)
    assert rows[-1]["right"] != rows[0]["right"]
    assert (rows[-1]["weight"] == 0.1) == (remedy != "target")
    assert all((value == before[name]).all() for name, value in small[0].state_dict().items())


@pytest.fixture
def tried(modules):
    """Return the results of some weights."""
    return [
        {"task": "countries", "remedy": remedy, "alpha": alpha, "beta": beta, "target": target, "seed": 0}
        | {"step": modules[1].STEPS, "right": right, "distinct": distinct}
        for remedy, alpha, beta, target, right, distinct in (
            ("none", 1, 0, 0.0, 1.0, 5),
            ("bonus", 1, 0.1, 0.0, 0.96, 30),
            ("bonus", 1, 0.2, 0.0, 0.951, 40),
            ("bonus", 1, 0.4, 0.0, 0.949, 90),
            ("bonus", 2, 0.2, 0.0, 0.99, 10),
            ("bonus", 2, 0.1, 0.0, 0.98, 20),
            ("target", 1, 0.1, 0.7, 0.2, 50),
            ("KL", 1, 0.1, 0.0, 0.5, 50),
        )
    ]


def test_chosen(modules, tried):
    """Of each remedy and order the most diverse of what is right enough; nothing of what is not."""
    found = [(setting.remedy, setting.alpha, setting.beta) for setting in modules[0].chosen(tried)]
    assert found == [("none", 1, 0), ("bonus", 1, 0.2), ("bonus", 2, 0.1)]


def test_further(modules, tried, monkeypatch):
    """Weights are tried until some are right enough and some are not."""
    llm = modules[0]
    assert [(setting.remedy, setting.alpha, setting.beta) for setting in llm.further(tried)] == [
        ("bonus", 2, 0.4),
        ("KL", 1, 0.05),
    ]
    monkeypatch.setattr(llm, "RANGE", (0.1, 0.2))
    assert not llm.further(tried)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("full", [False, True])
def test_runs(modules, monkeypatch, tmp_path, capsys, full):
    """Runs are appended, and none is done twice."""
    llm, _, _, harness = modules
    monkeypatch.setattr(llm, "WEIGHTS", {("bonus", 2.0): (0.1, 0.2)})
    monkeypatch.setattr(llm, "TARGETS", (0.7,))
    monkeypatch.setattr(llm, "RANGE", (0.1, 0.2))
    arguments = ["--seeds", "2", "--workers", "1", "--output", str(tmp_path), *(["--full"] if full else [])]
    llm.main(arguments)
    rows = harness.read_csv(tmp_path / "llm.csv")
    assert {row["step"] for row in rows} == {0, 1, 2}
    runs = [(llm.setting_of(row), row["seed"]) for row in llm.last(rows)]
    assert len(runs) == len(set(runs))
    if full:
        assert {run for run in runs if run[1] == 0} == {
            (s, 0) for t in ("countries", "multiples") for s in llm.settings(t)
        }
    else:
        assert len(runs) == 4
    assert {seed for _, seed in runs} == {0, 1}
    assert {row["count"] > 0 for row in harness.read_csv(tmp_path / "llm_answers.csv")} == {True}
    assert (tmp_path / "llm.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert all(measure in printed for measure in llm.MEASURES)
    # one run is lost, as when a sweep is stopped
    lines = (tmp_path / "llm.csv").read_text().splitlines(keepends=True)
    (tmp_path / "llm.csv").write_text("".join(lines[:-2]))
    called = []
    monkeypatch.setattr(llm, "run", lambda *task: called.append(task) or ([], []))
    llm.sweep(llm.harness.parse("", seeds=2, argv=arguments), tmp_path / "llm.csv", tmp_path / "llm_answers.csv")
    assert called == runs[-1:]


@pytest.mark.usefixtures("small")
def test_cost(modules, tmp_path):
    llm, _, _, harness = modules
    llm.main(["--cost", "--output", str(tmp_path)])
    rows = harness.read_csv(tmp_path / "llm_cost.csv")
    assert [row["alpha"] for row in rows if row["remedy"] == "bonus"] == [0.5, 1, 2, math.inf]
    assert all(row["seconds"] > 0 and 0.05 < row["memory"] < 50 for row in rows)
