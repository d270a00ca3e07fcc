"""What is measured of long texts and documents."""

from __future__ import annotations

import pytest
from valence_service.backends.labels import read_scores
from valence_service.core.sentiment import Label, Sentiment

from training.documents import WAYS, accuracy, area_under_curve, calibration_error

LABELS = (Label("neg", -1.0), Label("pos", 1.0))


def said(positive: float, *, tokens: int = 10) -> Sentiment:
    return read_scores(
        [1 - positive, positive],
        LABELS,
        probabilities=True,
        tokens_total=tokens,
        tokens_used=tokens,
        tokens_unknown=0,
        layers_used=6,
    )


def test_the_measures() -> None:
    labels = ["positive", "negative", "positive", "negative"]
    assert accuracy([0.5, -0.1, -0.2, -1.0], labels) == 0.75
    # Two bins: 0.9 with one of two right, and 0.6 with both.
    answers = [said(0.9), said(0.9), said(0.6), said(0.4)]
    assert calibration_error(answers, labels) == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)
    assert area_under_curve([0.9, 0.5], [0.1, 0.5]) == pytest.approx(3.5 / 4)


def test_each_way_weighs_the_windows() -> None:
    windows = [said(1.0, tokens=30), said(0.5, tokens=10)]
    assert {name: list(way(windows)) for name, way in WAYS.items()} == {
        "mean": [1, 1],
        "by tokens": [30, 10],
        "by evidence": [1, 0],
        "the last twice": [1, 2],
        "the last alone": [0, 1],
    }
