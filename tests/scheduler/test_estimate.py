"""The estimate follows what is measured, up and down."""

from __future__ import annotations

import pytest
from valence_service.scheduler.estimate import ThroughputEstimate


def test_the_estimate_follows_what_is_measured() -> None:
    estimate = ThroughputEstimate(replicas=1)
    for _ in range(30):
        estimate.measured(100, 1.0)
    assert estimate.seconds_for(50) == pytest.approx(0.5, rel=0.01)
    for _ in range(30):
        estimate.measured(100, 2.0)
    assert estimate.seconds_for(50) == pytest.approx(1.0, rel=0.01)
    assert estimate.tokens_in(1.0) == pytest.approx(50, rel=0.01)


def test_a_full_batch_tells_more_of_the_throughput_than_single_texts() -> None:
    estimate = ThroughputEstimate(replicas=1)
    for _ in range(10):
        estimate.measured(10, 1.0)
    estimate.measured(1000, 1.0)
    assert estimate.seconds_for(1000) < 7


def test_one_lucky_single_text_is_soon_forgotten() -> None:
    estimate = ThroughputEstimate(replicas=1)
    estimate.measured_single(10, 1.0)
    estimate.measured_single(10, 0.1)
    for _ in range(20):
        estimate.measured_single(10, 1.0)

    assert estimate.single_seconds == pytest.approx(1.0, rel=0.02)


def test_the_first_single_text_is_taken_as_it_is() -> None:
    estimate = ThroughputEstimate(replicas=1)
    estimate.measured_single(10, 0.25)

    assert estimate.single_seconds == pytest.approx(0.25)
