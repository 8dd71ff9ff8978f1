"""Tiny models and data for the tests of the Trainer."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from renyi_training.transformers import RenyiTrainer  # noqa: E402

VOCABULARY, LENGTH = 64, 9


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
