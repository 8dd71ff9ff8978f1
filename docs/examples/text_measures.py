"""How repetitive and how alike texts are: lists of tokens in, numbers out."""

import math
from collections import Counter


def grams(tokens, n):
    return list(zip(*(tokens[i:] for i in range(n)), strict=False))


def repeated(texts, n=4):
    """Return the share of n-grams that occurred before in the same text, as in Welleck et al. 2020."""
    shares = []
    for tokens in texts:
        found = grams(tokens, n)
        shares.append(1 - len(set(found)) / len(found))
    return math.fsum(shares) / len(shares)


def distinct(texts, n=2):
    """Return the share of different ones among all n-grams of all texts, as in Li et al. 2016."""
    found = [gram for tokens in texts for gram in grams(tokens, n)]
    return len(set(found)) / len(found)


def self_bleu(texts, order=4):
    """Return the mean BLEU of each text with the others as references, as in Zhu et al. 2018; texts of one length.

    The length being one, there is no brevity penalty; a precision of 0 counts as half a match.
    """
    logs = [0.0] * len(texts)
    for n in range(1, order + 1):
        counts = [Counter(grams(tokens, n)) for tokens in texts]
        # the most that any text has of an n-gram, and the most that any but that one has
        first, second, owner = Counter(), Counter(), {}
        for i, count in enumerate(counts):
            for gram, k in count.items():
                if k > first[gram]:
                    first[gram], second[gram], owner[gram] = k, first[gram], i
                elif k > second[gram]:
                    second[gram] = k
        for i, count in enumerate(counts):
            matches = sum(min(k, second[g] if owner[g] == i else first[g]) for g, k in count.items())
            logs[i] += math.log(max(matches, 0.5) / count.total()) / order
    return math.fsum(map(math.exp, logs)) / len(logs)


ALL = repeated, distinct, self_bleu
