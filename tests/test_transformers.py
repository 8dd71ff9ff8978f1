"""The Hugging Face Trainer with an entropy bonus, on tiny models of random weights: training and resuming."""

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

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from transformers_cases import batch, classifier, llama, logged, texts, trained, weights  # noqa: E402

import renyi_core as renyi  # noqa: E402
from renyi_core.regularizers import EntropyBonus, EntropyFloor, LabelSmoothing  # noqa: E402
from renyi_core.schedules import Constant, Harmonic, Linear  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")


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


def test_terms_in_the_place_of_the_entropy(tmp_path):
    weight = Linear(0.5, 0.1, 2)
    bonus = trained(tmp_path, llama(), bonus={"entropy_weight": weight, "entropy_alpha": 2.0})
    term = trained(tmp_path, llama(), bonus={"entropy_weight": weight, "regularizer": EntropyBonus(alpha=2.0)})
    torch.testing.assert_close(weights(term), weights(bonus), rtol=0, atol=2e-6)
    assert logged(term, "regularizer") == pytest.approx([-h for h in logged(bonus, "entropy")], rel=1e-6)
    assert not logged(term, "entropy")
    # log n - H_2, and label smoothing beside it, which has another gradient
    penalty = EntropyFloor(alpha=2.0, target=1.0, relative=True)
    alone = trained(tmp_path, llama(), bonus={"entropy_weight": weight, "regularizer": penalty})
    torch.testing.assert_close(weights(alone), weights(bonus), rtol=0, atol=2e-6)
    both = trained(tmp_path, llama(), bonus={"entropy_weight": weight, "regularizer": penalty + LabelSmoothing()})
    assert (weights(both) - weights(bonus)).abs().max() > 1e-3


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
    """The mean between two logging steps is that of all labeled positions, not of micro-batches."""
    bonus = {"entropy_weight": 1e-9, "entropy_alpha": 2.0}
    options = {"gradient_accumulation_steps": 1, "max_steps": 4, "logging_steps": 4, "learning_rate": 0.0}
    found = trained(tmp_path, llama(), bonus=bonus, **options)
    data = batch(texts())
    with torch.no_grad():
        logits = llama()(input_ids=data["input_ids"]).logits[:, :-1]
    expected = renyi.entropy_from_logits(logits[data["labels"][:, 1:] != -100], 2.0).mean().item()
    assert logged(found, "entropy") == [pytest.approx(expected, rel=1e-6)]


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


def test_training_twice(tmp_path):
    """What the first run had not logged yet is not in what the second one logs."""
    bonus = {"entropy_weight": 1.0, "entropy_alpha": 2.0}
    twice = trained(tmp_path, llama(), bonus=bonus, max_steps=3, logging_steps=2)
    model = llama()
    model.load_state_dict(twice.model.state_dict())
    twice.train()
    once = trained(tmp_path, model, bonus=bonus, max_steps=3, logging_steps=2)
    assert logged(twice, "entropy") == logged(once, "entropy")


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
