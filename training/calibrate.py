"""Make scores the share of right answers, and choose how sure an early answer must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.forms import probabilities
from training.measures import LINES, Line, Rows, first_sure

if TYPE_CHECKING:
    from collections.abc import Mapping

# Texts as people write them, with all three labels. On the adversarial sets the model would learn
# more doubt than ordinary text deserves.
CALIBRATION_FILES = ("sst3_detok.dev", "semeval_twitter.dev", "goemotions.dev")
CONFIDENCES = tuple(float(each) for each in np.round(np.arange(0.5, 0.99, 0.01), 2))
# An early answer may cost so much of a line, or so many rows where that is more.
LOST_SHARE, LOST_ROWS = 0.003, 2


def fit_temperature(logits: list[np.ndarray], labels: list[np.ndarray]) -> float:
    """Return the temperature of the least mean negative log likelihood (Guo et al. 2017).

    Each array is one file's, [texts, labels] and [texts]; each file counts the same.
    """

    def loss(temperature: float) -> float:
        losses = [
            -np.log(probabilities(each / temperature)[np.arange(len(right)), right]).mean()
            for each, right in zip(logits, labels, strict=True)
        ]
        return float(np.mean(losses))

    return float(min(np.round(np.arange(0.4, 4.0, 0.01), 2), key=loss))


def temperatures(logits: Mapping[str, np.ndarray], rows: Mapping[str, Rows]) -> list[float]:
    """Return the temperature of each depth; each file's logits are [depths, texts, labels]."""
    labels = [rows[name].labels for name in CALIBRATION_FILES]
    depths = len(logits[CALIBRATION_FILES[0]])
    return [
        fit_temperature([logits[name][depth] for name in CALIBRATION_FILES], labels)
        for depth in range(depths)
    ]


def exit_confidence(said: Mapping[str, np.ndarray], rows: Mapping[str, Rows]) -> float:
    """Return the least confidence at which no line loses more than it may; 1 where none does."""
    for confidence in CONFIDENCES:
        if all(
            loss(line, said[line.file], rows[line.file].labels, confidence)
            <= max(LOST_SHARE, LOST_ROWS / len(rows[line.file].labels)) + 1e-9
            for line in LINES
        ):
            return confidence
    return 1.0


def loss(line: Line, said: np.ndarray, labels: np.ndarray, confidence: float) -> float:
    """Return how much worse a line is with early answers than at full depth."""
    full = line.measure(said[-1], labels)
    early = line.measure(first_sure(said, confidence)[0], labels)
    return early - full if line.at_most else full - early
