"""Draw the examples of a run from the files that its recipe names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from training.data import DEV_FILES, letters, read_rows
from training.recipe import DOUBT_LOG_ODDS, MAX_TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.recipe import Run, Unlabelled

# A source keeps at most so many sentences; more would only take longer to search.
MAX_SENTENCES = 160_000

T = TypeVar("T")
# The log-odds of POSITIVE that a model gives to each text.
LogOdds = Callable[[list[str]], np.ndarray]

_SIGN = {"positive": 1, "neutral": 0, "negative": -1}
_SENTENCE_END = re.compile(r'(?<=[.!?])\s+(?=[A-Z"])')


@dataclass(frozen=True)
class Example:
    """A text, and its target: a probability of POSITIVE in [0, 1]."""

    text: str
    positive: float
    max_tokens: int


def _fits(text: str) -> bool:
    """Return whether a text is long enough to mean something, and short enough for a sentence."""
    return 4 <= len(text.split()) <= 35  # noqa: PLR2004


def _probabilities(log_odds: np.ndarray) -> list[float]:
    """Return probabilities, never quite 0 or 1, since the sentences have no labels."""
    return list(1 / (1 + np.exp(-np.clip(log_odds, -5, 5))))


def softened(examples: list[Example], teacher: LogOdds) -> list[Example]:
    """Return the examples with the mean of label and teacher's probability for a target."""
    said = _probabilities(teacher([example.text for example in examples]))
    return [
        replace(example, positive=(example.positive + probability) / 2)
        for example, probability in zip(examples, said, strict=True)
    ]


class Mixture:
    """The examples of a run, without any text of a development file."""

    def __init__(self, data: Path, run: Run) -> None:
        """Read the run's files below data."""
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
        """Return the labelled examples of one epoch, in no particular order."""
        return [
            Example(self._vary(text), float(label == "positive"), source.max_tokens)
            for source, rows in self._sources
            for label, text in (rows if source.rows is None else self._draw(rows, source.rows))
            if len(text.split()) >= self._run.min_words
        ]

    def ask(
        self, sources: tuple[Unlabelled, ...], start: LogOdds, teacher: LogOdds
    ) -> list[Example]:
        """Return unlabelled sentences: start finds the doubtful ones, the teacher gives targets."""
        examples = []
        for source in sources:
            rows = self._sentences(source.files)
            signs = np.array([_SIGN[label] for label, _ in rows])
            guesses = start([text for _, text in rows])
            doubtful = (np.abs(guesses) < DOUBT_LOG_ODDS) | (guesses * signs < 0)
            drawn: list[int] = self._choose(np.flatnonzero(doubtful), source.doubtful)
            drawn += self._choose(np.flatnonzero(~doubtful), source.others)
            texts = [rows[index][1] for index in drawn]
            log_odds = teacher(texts) + signs[drawn] * source.log_odds
            examples += [
                Example(self._vary(text), target, MAX_TOKENS)
                for text, target in zip(texts, _probabilities(log_odds), strict=True)
            ]
        return examples

    def _sentences(self, files: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return the distinct sentences of files, each with the label of its review."""
        found = {
            letters(sentence): (label, sentence)
            for file in files
            for label, text in self._read(file)
            for sentence in _SENTENCE_END.split(text)
            if _fits(sentence) and letters(sentence) not in self._held_out
        }
        return self._choose(list(found.values()), MAX_SENTENCES)

    def _read(self, file: str) -> list[tuple[str, str]]:
        return [
            row
            for row in read_rows(self._data / "train" / f"{file}.tsv.gz")
            if letters(row[1]) not in self._held_out
        ]

    def _draw(self, rows: list[tuple[str, str]], count: int) -> list[tuple[str, str]]:
        """Return as many rows with a positive label as without."""
        drawn: list[tuple[str, str]] = []
        for positive in (False, True):
            of_side = [row for row in rows if (row[0] == "positive") is positive]
            drawn += self._choose(of_side, count // 2)
        return drawn

    def _choose(self, choices: Sequence[T] | np.ndarray, count: int) -> list[T]:
        """Return so many distinct choices, or all where there are fewer."""
        chosen = self._rng.choice(len(choices), min(count, len(choices)), replace=False)
        return [choices[index] for index in chosen]

    def _vary(self, text: str) -> str:
        """Return the same words in another of the ways that people and corpora write them.

        Treebank corpora split "doesn't" into "does n't", and people on phones write "doesnt". An
        uncased tokenizer sees three different words, and the meaning depends on that word.
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
