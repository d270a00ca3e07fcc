"""Training and development texts, and the recipe that mixes them.

Every file is gzip'd TSV with the header ``label<TAB>text``. A text becomes an example: its
target is the probability of POSITIVE that the loss asks for, so that doubtful labels and
neutral texts can be told apart from sure ones.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Example:
    """A text and the probability of POSITIVE to aim at, in [0, 1]."""

    text: str
    positive: float
    max_tokens: int


@dataclass(frozen=True)
class Source:
    """How one training file enters an epoch.

    ``rows`` of None takes every row; a number draws that many anew in each epoch, as many
    negative as positive ones. ``certainty`` is how far its labels are believed: 0.85 asks for
    a probability of 0.85. Texts longer than ``max_tokens`` keep their head and their tail.
    """

    file: str
    rows: int | None = None
    certainty: float = 1.0
    max_tokens: int = 96
    neutral: bool = False


@dataclass(frozen=True)
class Stage:
    """Some epochs over one mixture, the learning rate falling in a line."""

    name: str
    epochs: int
    learning_rate: float
    final_learning_rate: float
    sources: tuple[Source, ...]


# An edit that flips a review can stand anywhere in it, so these keep more of their text.
_COUNTERFACTUAL = (
    Source("cad_imdb.train_original", max_tokens=192),
    Source("cad_imdb.train_revised", max_tokens=192),
)
_SENTENCES = (
    Source("sst3.train_sentences", neutral=True),
    Source("mr.all"),
    Source("vader_rated.movie", neutral=True),
)

STAGES = (
    Stage(
        "broad",
        epochs=2,
        learning_rate=8e-5,
        final_learning_rate=3e-5,
        sources=(
            Source("sst2_detok.train_phrases"),
            *_SENTENCES,
            *_COUNTERFACTUAL,
            Source("imdb.train", rows=3_000),
            Source("amazon_multidomain.books_train80"),
            Source("amazon_multidomain.dvd_train80"),
            Source("amazon_multidomain.electronics_train80"),
            Source("amazon_multidomain.kitchen_train80"),
            Source("yelp10k.train80", rows=2_000),
            Source("womens_clothing.train80", rows=2_000),
            Source("yelp_style_weak.test", rows=16_000, certainty=0.85),
            Source("goemotions.train", rows=14_000, certainty=0.9, neutral=True),
        ),
    ),
)

DEV_FILES = (
    "sst2_detok.dev",
    "sst2.dev",
    "cad_imdb.dev_original",
    "cad_imdb.dev_revised",
    "contrast_imdb.dev_contrast",
    "dynasent_r1.dev",
    "dynasent_r2.dev",
    "goemotions.dev",
)


def read_rows(path: Path) -> Iterator[tuple[str, str]]:
    """The (label, text) rows of one file."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        next(lines)
        for line in lines:
            label, text = line.rstrip("\n").split("\t", 1)
            yield label, text


def dev_rows(data: Path, name: str) -> tuple[list[str], np.ndarray]:
    """Positive and negative rows of a development file: texts, and 1 for positive."""
    rows = [row for row in read_rows(data / "dev" / f"{name}.tsv.gz") if row[0] != "neutral"]
    return [text for _, text in rows], np.array([label == "positive" for label, _ in rows], int)


def letters(text: str) -> str:
    """The text without case, spacing and punctuation, to find the same sentence twice."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


class Mixture:
    """Draws the examples of one epoch; no text of a development file is among them."""

    def __init__(self, data: Path, stage: Stage, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        held_out = {
            letters(text)
            for name in DEV_FILES
            for _, text in read_rows(data / "dev" / f"{name}.tsv.gz")
        }
        self._sources = [
            (
                source,
                [
                    row
                    for row in read_rows(data / "train" / f"{source.file}.tsv.gz")
                    if (source.neutral or row[0] != "neutral") and letters(row[1]) not in held_out
                ],
            )
            for source in stage.sources
        ]

    def epoch(self) -> list[Example]:
        """One epoch's examples, in no particular order."""
        return [
            Example(self._vary(text), self._target(label, source), source.max_tokens)
            for source, rows in self._sources
            for label, text in self._draw(source, rows)
        ]

    def _draw(self, source: Source, rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
        if source.rows is None:
            return rows
        drawn: list[tuple[str, str]] = []
        labels = sorted({label for label, _ in rows})
        for label in labels:
            of_label = [row for row in rows if row[0] == label]
            count = min(source.rows // len(labels), len(of_label))
            drawn += [of_label[i] for i in self._rng.choice(len(of_label), count, replace=False)]
        return drawn

    @staticmethod
    def _target(label: str, source: Source) -> float:
        return {
            "positive": source.certainty,
            "neutral": 0.5,
            "negative": 1 - source.certainty,
        }[label]

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
