"""The development sets, and what is measured on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.data import (
    BUSINESS_REVIEWS,
    DEV_FILES,
    LABELS,
    PROBE_FILES,
    PROBES,
    dev_file,
    documents,
    read_rows,
)
from training.forms import Form, probabilities
from training.mixture import SENTENCE_END

if TYPE_CHECKING:
    from pathlib import Path

NEGATIVE, NEUTRAL, POSITIVE = range(3)
# An answer in another language with this score or more is sure of something that it cannot know.
SURE = 0.7
BINS = 15

# Probabilities [texts, labels] and labels [texts] to a share.
Measure = Callable[[np.ndarray, np.ndarray], float]


def two_way(said: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy on texts with a side, by the likelier of the two sides."""
    sided = labels != NEUTRAL
    positive = said[sided, POSITIVE] > said[sided, NEGATIVE]
    return float((positive == (labels[sided] == POSITIVE)).mean())


def mean_recall(said: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of the three labels' recalls."""
    right = said.argmax(axis=1) == labels
    return float(np.mean([right[labels == label].mean() for label in range(len(LABELS))]))


def accuracy(said: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of right labels."""
    return float((said.argmax(axis=1) == labels).mean())


def sure_of_a_side(said: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of texts that get a side with a score of SURE or more."""
    del labels
    return float(((said.argmax(axis=1) != NEUTRAL) & (said.max(axis=1) >= SURE)).mean())


def calibration_error(said: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error of the predicted label's score (Naeini et al. 2015)."""
    scores, right = said.max(axis=1), said.argmax(axis=1) == labels
    bin_of = np.clip(np.ceil(scores * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = [
        abs(scores[bin_of == index].mean() - right[bin_of == index].mean())
        * (bin_of == index).mean()
        for index in range(BINS)
        if (bin_of == index).any()
    ]
    return float(sum(gaps))


@dataclass(frozen=True)
class Line:
    """One line of the card's table: a measure on a file, and where it has one its bound."""

    file: str
    measure: Measure
    bound: float | None = None
    at_most: bool = False

    @property
    def name(self) -> str:
        """The measure in words."""
        return self.measure.__name__.replace("_", " ")

    def kept(self, value: float) -> bool:
        """Return whether a value keeps the bound."""
        if self.bound is None:
            return True
        return value <= self.bound if self.at_most else value >= self.bound


LINES = (
    Line("sst2_detok.dev", two_way, 0.915),
    Line("sst2.dev", two_way, 0.915),
    Line("cad_imdb.dev_original", two_way),
    Line("cad_imdb.dev_revised", two_way, 0.93),
    Line("contrast_imdb.dev_contrast", two_way),
    Line("dynasent_r1.dev", two_way, 0.72),
    Line("dynasent_r2.dev", two_way, 0.68),
    Line("goemotions.dev", two_way, 0.896),
    Line("semeval_twitter.dev", mean_recall, 0.71),
    Line("sst3_detok.dev", mean_recall, 0.70),
    Line("dynasent_r1.dev", mean_recall, 0.63),
    Line("dynasent_r2.dev", mean_recall),
    Line("goemotions.dev", mean_recall, 0.73),
    Line("trec.questions_neutral", accuracy, 0.99),
    Line("facts", accuracy, 0.90),
    Line("opinion_questions", accuracy, 0.80),
    Line("other_languages.dev", sure_of_a_side, 0.02, at_most=True),
    Line("emoji", accuracy, 0.85),
    Line("sst3_detok.dev", calibration_error, 0.03, at_most=True),
    Line("semeval_twitter.dev", calibration_error, 0.03, at_most=True),
    Line("goemotions.dev", calibration_error, 0.03, at_most=True),
)
BUSINESS_SENTENCES = "yelp10k sentences"
# Their mean number of layers says what an early answer saves.
LAYERS_FILES = ("sst2_detok.dev", "semeval_twitter.dev", BUSINESS_SENTENCES)


@dataclass(frozen=True)
class Rows:
    """The texts of a file, and the index of each label; a language's code counts as neutral."""

    texts: list[str]
    labels: np.ndarray


def development(data: Path) -> dict[str, Rows]:
    """Return the rows of every file that is measured."""
    paths = {name: dev_file(data, name) for name in DEV_FILES}
    paths |= {name: PROBES / f"{name}.tsv" for name in PROBE_FILES}
    rows = {name: _rows(list(read_rows(path))) for name, path in paths.items()}
    sentences = [
        ("neutral", sentence)  # their labels are not known, and not measured
        for _, text in documents(data, BUSINESS_REVIEWS)
        for sentence in SENTENCE_END.split(text)
    ]
    return rows | {BUSINESS_SENTENCES: _rows(sentences[:: max(1, len(sentences) // 2_000)])}


def _rows(rows: list[tuple[str, str]]) -> Rows:
    labels = [LABELS.index(label) if label in LABELS else NEUTRAL for label, _ in rows]
    return Rows([text for _, text in rows], np.array(labels, int))


def ask(form: Form, rows: dict[str, Rows]) -> dict[str, np.ndarray]:
    """Return the form's probabilities for each file, [depths, texts, labels]."""
    return {name: probabilities(form(each.texts)) for name, each in rows.items()}


def first_sure(said: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the first answers whose score reaches the confidence, and the index of their depths.

    ``said`` is [depths, texts, labels]. Where none reaches it, the last depth answers.
    """
    reached = said.max(axis=2) >= confidence
    reached[-1] = True
    depth = reached.argmax(axis=0)
    return said[depth, np.arange(said.shape[1])], depth
