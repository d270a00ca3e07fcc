"""The examples that a run reads, drawn from the files that its recipe names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from data import DEV_FILES, letters, read_rows
from recipe import MAX_TOKENS, TEACHER_TEMPERATURE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipe import Run

_SENTENCE_END = re.compile(r'(?<=[.!?])\s+(?=[A-Z"])')


@dataclass(frozen=True)
class Example:
    """A text and the probability of POSITIVE to aim at, in [0, 1]."""

    text: str
    positive: float
    max_tokens: int


def _fits(text: str) -> bool:
    """Whether a text is long enough to say something, and short enough to be a sentence."""
    return 4 <= len(text.split()) <= 35  # noqa: PLR2004


class Mixture:
    """Draws the examples of a run; no text of a development file is among them."""

    def __init__(self, data: Path, run: Run) -> None:
        self._rng = np.random.default_rng(run.seed)
        self._data = data
        self._run = run
        self._held_out = {
            letters(text)
            for name in DEV_FILES
            for _, text in read_rows(data / "dev" / f"{name}.tsv.gz")
        }
        self._sources = [
            (source, [row for row in self._read(source.file) if row[0] != "neutral"])
            for source in run.sources
        ]

    def epoch(self) -> list[Example]:
        """One epoch's labelled examples, in no particular order."""
        return [
            Example(self._vary(text), float(label == "positive"), source.max_tokens)
            for source, rows in self._sources
            for label, text in (rows if source.rows is None else self._draw(rows, source.rows))
            if len(text.split()) >= self._run.min_words
        ]

    def ask(self, log_odds_of: Callable[[list[str]], np.ndarray]) -> list[Example]:
        """The unlabelled texts, their targets from a model's log-odds of POSITIVE."""
        examples = []
        for source in self._run.unlabelled:
            rows = [row for row in self._read(source.file) if source.sentences or _fits(row[1])]
            if source.sentences:
                rows = [
                    (label, sentence)
                    for label, text in rows
                    for sentence in _SENTENCE_END.split(text)
                    if _fits(sentence) and letters(sentence) not in self._held_out
                ]
            drawn = self._draw(rows, source.rows)
            said = log_odds_of([text for _, text in drawn]) / TEACHER_TEMPERATURE
            signs = np.array([{"positive": 1, "negative": -1}.get(label, 0) for label, _ in drawn])
            targets = 1 / (1 + np.exp(-np.clip(said + signs * source.log_odds, -5, 5)))
            examples += [
                Example(self._vary(text), float(target), MAX_TOKENS)
                for (_, text), target in zip(drawn, targets, strict=True)
            ]
        return examples

    def _read(self, file: str) -> list[tuple[str, str]]:
        return [
            row
            for row in read_rows(self._data / "train" / f"{file}.tsv.gz")
            if letters(row[1]) not in self._held_out
        ]

    def _draw(self, rows: list[tuple[str, str]], count: int) -> list[tuple[str, str]]:
        """As many with a positive label as without."""
        drawn: list[tuple[str, str]] = []
        for positive in (False, True):
            of_side = [row for row in rows if (row[0] == "positive") is positive]
            number = min(count // 2, len(of_side))
            drawn += [of_side[i] for i in self._rng.choice(len(of_side), number, replace=False)]
        return drawn

    def _vary(self, text: str) -> str:
        """The same words in the ways people and corpora write them.

        Treebank corpora split "doesn't" into "does n't", people on phones write "doesnt": an
        uncased tokenizer sees three different things, and the meaning hangs on that word.
        """
        match self._rng.choice(4, p=(0.45, 0.25, 0.22, 0.08)):
            case 1:
                return re.sub(r"(\w)n't\b", r"\1 n't", text)
            case 2:
                return re.sub(r"(\w) (n't|'s|'re|'ve|'ll|'d|'m)\b", r"\1\2", text)
            case 3:
                return re.sub(r"(\w) ?(n?)'(t|s|re|ve|ll|m)\b", r"\1\2\3", text).rstrip(" .!")
            case _:
                return text
