"""The examples that a run reads, drawn from the files that its recipe names."""

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

# Of one source's sentences; more would only take longer to look through.
MAX_SENTENCES = 160_000

T = TypeVar("T")
# The log-odds of POSITIVE that a model gives to each text.
LogOdds = Callable[[list[str]], np.ndarray]

_SIGN = {"positive": 1, "neutral": 0, "negative": -1}
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


def _probabilities(log_odds: np.ndarray) -> list[float]:
    """Never quite 0 or 1: nobody is that sure of a sentence without its label."""
    return list(1 / (1 + np.exp(-np.clip(log_odds, -5, 5))))


def softened(examples: list[Example], teacher: LogOdds) -> list[Example]:
    """The examples, each to aim half at its label and half at what the teacher says."""
    said = _probabilities(teacher([example.text for example in examples]))
    return [
        replace(example, positive=(example.positive + probability) / 2)
        for example, probability in zip(examples, said, strict=True)
    ]


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

    def ask(
        self, sources: tuple[Unlabelled, ...], start: LogOdds, teacher: LogOdds
    ) -> list[Example]:
        """Sentences without a label; the teacher says what to aim at, start which are doubtful."""
        examples = []
        for source in sources:
            rows = self._sentences(source.files)
            signs = np.array([_SIGN[label] for label, _ in rows])
            said = start([text for _, text in rows])
            doubtful = (np.abs(said) < DOUBT_LOG_ODDS) | (said * signs < 0)
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
        """The sentences of files, once each, with the labels of the reviews they stand in."""
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
        """As many with a positive label as without."""
        drawn: list[tuple[str, str]] = []
        for positive in (False, True):
            of_side = [row for row in rows if (row[0] == "positive") is positive]
            drawn += self._choose(of_side, count // 2)
        return drawn

    def _choose(self, choices: Sequence[T] | np.ndarray, count: int) -> list[T]:
        """So many of the choices, or all where they are fewer, none twice."""
        chosen = self._rng.choice(len(choices), min(count, len(choices)), replace=False)
        return [choices[index] for index in chosen]

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
