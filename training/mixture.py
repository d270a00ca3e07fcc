"""Draw the examples of a run from the files that its recipe names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from training.data import LABELS, development_letters, documents, letters, read_rows, train_file
from training.example import NEUTRAL_SIDE_WEIGHT, Example, answered, of_three
from training.recipe import EVERY, Run, Source
from training.writer import CANNOT_SAY, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LANGUAGES = "other_languages.unlabelled"
# Sentences of a review's files are searched up to this many; more would only take longer.
MAX_SENTENCES = 60_000
# Of the doubt about a label with a side, so much goes to neutral and the rest to the other side.
DOUBT_IS_NEUTRAL = 0.75
# The words of a sentence that is long enough to mean something, and no paragraph.
SENTENCE_WORDS = range(4, 36)

T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """A teacher's answers to both questions, [texts]; one of two labels cannot answer the first."""

    neutral: np.ndarray | None
    positive: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray) -> Said:
        """Return the answers that probabilities of two or three labels hold."""
        negative, positive = probabilities[:, 0], probabilities[:, -1]
        neutral = probabilities[:, 1] if probabilities.shape[1] == len(LABELS) else None
        return cls(neutral, positive / (negative + positive))


Teacher = Callable[[list[str]], Said]

SENTENCE_END = re.compile(r'(?<=[.!?])\s+(?=[A-Z"])')
_TOKENISED = (
    (re.compile(r" ([.,!?;:%)\]}]|n't|'s|'re|'ve|'ll|'d|'m)(?=\W|$)"), r"\1"),
    (re.compile(r"([(\[{$]) "), r"\1"),
    (re.compile(r"-lrb- ?", re.IGNORECASE), "("),
    (re.compile(r" ?-rrb-", re.IGNORECASE), ")"),
    (re.compile(r"(``|'') ?"), '"'),
)


class Mixture:
    """The examples of a run, without any text that measures a model."""

    def __init__(self, data: Path, run: Run, teacher: Teacher) -> None:
        """Draw from the files below data; the teacher says what it thinks of each text."""
        self._rng = np.random.default_rng(run.seed)
        self._data = data
        self._run = run
        self._teacher = teacher
        self._writer = Writer(run.written, self._rng)
        self._held_out = development_letters(data)

    def examples(self) -> list[Example]:
        """Return the run's examples, in no particular order."""
        labelled = [
            (source, label, self._draw(rows, count))
            for source in self._run.sources
            for label, rows, count in self._of_source(source)
        ]
        sentences = [
            sentence
            for source in self._run.sentences
            for sentence in self._choose(self._sentences(source.files), source.rows)
        ]
        texts = [text for _, _, texts in labelled for text in texts] + sentences
        said = self._teacher(texts)
        answers = iter(
            zip(
                [None] * len(texts) if said.neutral is None else said.neutral.tolist(),
                said.positive.tolist(),
                strict=True,
            )
        )
        examples = [
            self._labelled(text, label, source, next(answers))
            for source, label, texts in labelled
            for text in texts
        ]
        written = self._writer.texts() + self._writer.with_emoji(examples)
        written += [
            of_three(text, CANNOT_SAY)
            for text in self._choose(self._foreign(), self._run.languages)
        ]
        examples += [self._unlabelled(text, next(answers)) for text in sentences]
        examples += written
        return [
            replace(example, text=self._vary(example.text))
            for example in examples
            if letters(example.text) not in self._held_out
        ]

    def _of_source(self, source: Source) -> list[tuple[str, list[str], int]]:
        counts = (source.negative, source.neutral, source.positive)
        rows = self._read(source.file)
        if source.questions:
            rows = [row for row in rows if row[1].rstrip().endswith("?")]
        return [
            (label, [text for said, text in rows if said == label], count)
            for label, count in zip(LABELS, counts, strict=True)
            if count
        ]

    def _read(self, file: str) -> list[tuple[str, str]]:
        left_out = self._held_out | {letters(text) for _, text in documents(self._data, file)}
        rows = read_rows(train_file(self._data, file))
        return [row for row in rows if letters(row[1]) not in left_out]

    def _labelled(
        self, text: str, label: str, source: Source, said: tuple[float | None, float]
    ) -> Example:
        """Return an example that aims half at its label and half at what the teacher said."""
        said_neutral, said_positive = said
        doubt = 1 - source.trust
        neutral = source.trust if label == "neutral" else doubt * DOUBT_IS_NEUTRAL
        if said_neutral is not None:
            neutral = (neutral + said_neutral) / 2
        if label == "neutral":
            positive, positive_weight = said_positive, NEUTRAL_SIDE_WEIGHT
        else:
            positive, positive_weight = ((label == "positive") + said_positive) / 2, 1.0
        return Example(
            text, neutral, source.neutral_weight, positive, positive_weight, source.max_tokens
        )

    def _unlabelled(self, text: str, said: tuple[float | None, float]) -> Example:
        """Return an example that aims at what the teacher said."""
        neutral, positive = said
        if neutral is None:
            return Example(text, 0.0, 0.0, positive, 1.0)
        return answered(text, neutral, positive)

    def _foreign(self) -> list[str]:
        """Return texts in other languages, of which nothing can be said."""
        return [text for _, text in self._read(LANGUAGES)] if self._run.languages else []

    def _sentences(self, files: tuple[str, ...]) -> list[str]:
        """Return distinct sentences of files, long enough to mean something."""
        found = {
            letters(sentence): sentence
            for file in files
            for _, text in self._choose(self._read(file), MAX_SENTENCES // len(files))
            for sentence in SENTENCE_END.split(text)
            if len(sentence.split()) in SENTENCE_WORDS
        }
        return list(found.values())

    def _draw(self, rows: list[str], count: int) -> list[str]:
        """Return so many rows, some of them again where there are too few."""
        if count == EVERY:
            return rows
        drawn = rows * (count // len(rows)) if rows else []
        return drawn + self._choose(rows, count - len(drawn))

    def _choose(self, choices: Sequence[T], count: int) -> list[T]:
        """Return so many distinct choices, or all where there are fewer."""
        chosen = self._rng.choice(len(choices), min(count, len(choices)), replace=False)
        return [choices[index] for index in chosen]

    def _vary(self, text: str) -> str:
        """Return the same words in another of the ways that people and corpora write them.

        Treebank corpora split "doesn't" into "does n't", and people on phones write "doesnt". An
        uncased tokenizer sees three different words, and the meaning depends on that word.
        """
        match self._rng.choice(5, p=(0.3, 0.2, 0.12, 0.08, 0.3)):
            case 1:
                return re.sub(r"(\w)n't\b", r"\1 n't", text)
            case 2:
                return re.sub(r"(\w) (n't|'s|'re|'ve|'ll|'d|'m)\b", r"\1\2", text)
            case 3:
                return re.sub(r"(\w) ?(n?)'(t|s|re|ve|ll|m)\b", r"\1\2\3", text).rstrip(" .!")
            case 4:
                return joined(text)
            case _:
                return text


def joined(text: str) -> str:
    """Return a tokenised text as people write it: "it 's fun , really ." is "it's fun, really."."""
    for pattern, replacement in _TOKENISED:
        text = pattern.sub(replacement, text)
    return text
