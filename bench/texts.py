"""The texts that every server gets, made of a few words and a fixed seed."""

from __future__ import annotations

import random
from statistics import NormalDist

from tokenizers import Tokenizer

# Callers send them in turn: a text that is sent again and again would stay in every cache.
DISTINCT = 256
SHORT_TOKENS = 23
# The logarithm of a review's length is about normal.
MIXED_MEDIAN_TOKENS, MIXED_SPREAD = 60, 0.8
MIXED_LEAST, MIXED_MOST = 5, 250

_SUBJECTS = ("the soup", "our room", "this phone", "the ending", "her new book", "the staff")
_VERBS = ("was", "seemed", "turned out", "felt", "looked")
_ADVERBS = ("surprisingly", "rather", "not at all", "quite", "hardly", "very")
_ADJECTIVES = ("good", "slow", "charming", "broken", "honest", "dull", "fresh", "great")


def short(tokenizer: Tokenizer) -> list[str]:
    """Return DISTINCT sentences of SHORT_TOKENS tokens, give or take two."""
    draw = random.Random(23)
    return [_text(tokenizer, SHORT_TOKENS + draw.randint(-2, 2), draw) for _ in range(DISTINCT)]


def mixed(tokenizer: Tokenizer) -> list[str]:
    """Return DISTINCT texts of 5 to 250 tokens, with lengths spread as those of reviews are."""
    draw = random.Random(250)
    normal = NormalDist()
    texts = []
    for number in range(DISTINCT):
        deviation = normal.inv_cdf((number + 0.5) / DISTINCT)
        tokens = round(MIXED_MEDIAN_TOKENS * 2.718 ** (MIXED_SPREAD * deviation))
        texts.append(_text(tokenizer, min(MIXED_MOST, max(MIXED_LEAST, tokens)), draw))
    draw.shuffle(texts)
    return texts


def _text(tokenizer: Tokenizer, tokens: int, draw: random.Random) -> str:
    """Return words that make so many tokens, the special ones included."""
    words: list[str] = []
    while len(tokenizer.encode(" ".join(words))) < tokens:
        clause = " ".join(map(draw.choice, (_SUBJECTS, _VERBS, _ADVERBS, _ADJECTIVES)))
        words += f"{clause} and".split()
    while len(tokenizer.encode(" ".join(words))) > tokens:
        words.pop()
    return " ".join(words)
