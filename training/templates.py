"""Write the kinds of text that no training file holds: plain facts, and questions with an opinion.

No sentence of ``probes/`` comes from here: those measure whether the kinds were learned.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from training.data import read_rows
from training.emoji import PATTERNS

if TYPE_CHECKING:
    import numpy as np

_SLOT = re.compile(r"\{(\w+)\}")
_CHOICES = {slot: words.split("|") for slot, words in read_rows(PATTERNS / "slots.tsv")}
# How often a sentence is written as a person in a hurry writes it.
_LOWER, _NO_STOP, _SMALL_START = 0.2, 0.2, 0.3


def patterns(name: str) -> dict[str, list[str]]:
    """Return the patterns of a file by label."""
    found: dict[str, list[str]] = {}
    for label, pattern in read_rows(PATTERNS / f"{name}.tsv"):
        found.setdefault(label, []).append(pattern)
    return found


def write(listed: list[str], count: int, rng: np.random.Generator) -> list[str]:
    """Return so many sentences of the patterns, their slots filled at random."""
    return [_fill(listed[rng.integers(len(listed))], rng) for _ in range(count)]


def _fill(pattern: str, rng: np.random.Generator) -> str:
    def word(slot: re.Match[str]) -> str:
        words = _CHOICES[slot[1]]
        return words[rng.integers(len(words))]

    text = _SLOT.sub(word, pattern)
    if rng.random() < _LOWER:
        text = text.lower()
    if rng.random() < _NO_STOP:
        text = text.rstrip(".")
    return text if rng.random() < _SMALL_START else text[:1].upper() + text[1:]
