"""A small language model of words, trained on the documentation topics inside Python's own distribution."""

import functools
import random
import re
from collections import Counter
from pydoc_data.topics import topics
from typing import NamedTuple

import torch
from scipy.optimize import brentq
from torch import nn
from torch.nn import functional

from renyi_core.regularizers import LabelSmoothing

END, UNKNOWN = "¶", "<unk>"


class Plan(NamedTuple):
    """The sizes of the data, the model, its training and its samples."""

    vocabulary: int = 1000
    paragraphs: int | None = None
    embedding: int = 96
    hidden: int = 128
    epochs: int = 6
    batch: int = 32
    window: int = 16
    rate: float = 0.015
    texts: int = 48
    length: int = 100


class Corpus(NamedTuple):
    """The vocabulary, and each part's paragraphs as the numbers of their words."""

    words: list
    train: list
    validation: list
    test: list


@functools.cache
def load(vocabulary, limit=None):
    """Return the paragraphs of the topics, each once; of every ten one is for validation and one for the test.

    Many stand in several topics: taken as they are, the test would be in the training.
    """
    paragraphs = {}
    for name in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            plain = re.sub(r"([^\w\s])\1{2,}", " ", paragraph.lower())  # underlines, rules of tables
            words = re.findall(r"\w+|[^\w\s]", plain)
            if sum(word.isalpha() for word in words) > 4:
                paragraphs[tuple(words)] = None
    parts = {"train": [], "validation": [], "test": []}
    for i, words in enumerate(list(paragraphs)[:limit]):
        parts[{0: "validation", 5: "test"}.get(i % 10, "train")].append([*words, END])
    counts = Counter(word for words in parts["train"] for word in words if word != END)
    words = [END, UNKNOWN, *(word for word, _ in counts.most_common(vocabulary - 2))]
    number = {word: i for i, word in enumerate(words)}
    return Corpus(words, *([[number.get(w, 1) for w in p] for p in paragraphs] for paragraphs in parts.values()))


class Model(nn.Module):
    """A GRU; the embedding is the last layer's matrix, too."""

    def __init__(self, words, plan):
        super().__init__()
        self.embedding = nn.Embedding(words, plan.embedding)
        nn.init.normal_(self.embedding.weight, std=plan.embedding**-0.5)
        self.recurrent = nn.GRU(plan.embedding, plan.hidden, batch_first=True)
        self.projection = nn.Linear(plan.hidden, plan.embedding)
        self.bias = nn.Parameter(torch.zeros(words))

    def forward(self, tokens, state=None):
        hidden, state = self.recurrent(self.embedding(tokens), state)
        return functional.linear(self.projection(hidden), self.embedding.weight, self.bias), state


def stream(paragraphs, rows):
    """Return the paragraphs one after the other, cut into so many rows."""
    tokens = torch.tensor([0, *(token for words in paragraphs for token in words)])
    length = (len(tokens) - 1) // rows
    return tokens[torch.arange(rows)[:, None] * length + torch.arange(length + 1)]


def objective(term, logits, targets):
    """Return cross-entropy + term, up to a constant."""
    if isinstance(term, LabelSmoothing) and term.alpha == 1:
        # the same gradient: torch has it fused, where the term, exact near uniform rows, takes many times as long
        share = term.weight / (1 + term.weight)
        return functional.cross_entropy(logits, targets, label_smoothing=share) / (1 - share)
    return functional.cross_entropy(logits, targets) + term(logits)


def train(term, corpus, plan, seed):
    """Return a model trained on cross-entropy + term."""
    torch.manual_seed(seed)
    shuffler = random.Random(seed)  # noqa: S311
    model = Model(len(corpus.words), plan)
    paragraphs = list(corpus.train)
    windows = range(0, stream(paragraphs, plan.batch).shape[1] - 1, plan.window)
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.rate, total_steps=plan.epochs * len(windows), pct_start=0.2
    )
    for _ in range(plan.epochs):
        shuffler.shuffle(paragraphs)
        tokens, state = stream(paragraphs, plan.batch), None
        for start in windows:
            window = tokens[:, start : start + plan.window + 1]
            logits, state = model(window[:, :-1], state)
            state = state.detach()
            loss = objective(term, logits.flatten(0, 1), window[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model


@torch.no_grad()
def predict(model, paragraphs):
    """Return the logits of each word, from those before it, and the words."""
    tokens = stream(paragraphs, 8)
    return model(tokens[:, :-1])[0].flatten(0, 1), tokens[:, 1:].flatten()


def solve(function, low=0.2, high=5.0):
    """Return the temperature at which an increasing function is 0, or the end that is nearer to it."""
    if function(low) >= 0 or function(high) <= 0:
        return low if function(low) >= 0 else high
    return brentq(function, low, high, xtol=1e-4)


def best_temperature(logits, targets):
    """Return the temperature of least cross-entropy: there the expected logit is, on average, that of the target.

    Cross-entropy is convex in 1/temperature, so that there is one.
    """
    truth = logits.gather(1, targets[:, None]).mean()
    return solve(lambda t: (truth - (torch.softmax(logits / t, dim=1) * logits).sum(dim=1).mean()).item())


@torch.no_grad()
def sample(model, temperatures, *, texts, length, seed):
    """Return for each temperature so many texts of one length, lists of the numbers of words."""
    generator = torch.Generator().manual_seed(seed)
    temperature = torch.tensor(temperatures).repeat_interleave(texts)[:, None]
    tokens = torch.zeros(len(temperature), 1, dtype=torch.int64)
    state, drawn = None, []
    for _ in range(length):
        logits, state = model(tokens, state)
        tokens = torch.multinomial(torch.softmax(logits[:, 0] / temperature, dim=1), 1, generator=generator)
        drawn.append(tokens)
    return torch.cat(drawn, dim=1).view(len(temperatures), texts, length).tolist()
