"""What is measured of a model, how it is calibrated, and how sure an early answer must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import Write
from training import curve
from training import data as files
from training.calibrate import CALIBRATION_FILES, exit_confidence, fit_temperature
from training.evaluate import layers_table, table
from training.forms import probabilities
from training.measures import (
    LAYERS_FILES,
    LINES,
    Rows,
    accuracy,
    calibration_error,
    first_sure,
    mean_recall,
    sure_of_a_side,
    two_way,
)

LABELS = np.array([0, 1, 2, 2])
SAID = np.array([[0.3, 0.5, 0.2], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.7, 0.1, 0.2]])


def test_the_measures_of_four_answers() -> None:
    assert two_way(SAID, LABELS) == pytest.approx(2 / 3)
    assert mean_recall(SAID, LABELS) == pytest.approx((0 + 1 + 0.5) / 3)
    assert accuracy(SAID, LABELS) == 0.5
    assert sure_of_a_side(SAID, LABELS) == 0.5
    # Two bins: (0.5) with nothing right, and (0.7, 0.8, 0.8) of which two are.
    expected = 0.5 / 4 + abs(0.8 - 1) * 2 / 4 + 0.7 / 4
    assert calibration_error(SAID, LABELS) == pytest.approx(expected)


def test_the_temperature_makes_scores_the_share_of_right_answers() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 1.5, (4_000, 3))
    labels = np.array([rng.choice(3, p=row) for row in probabilities(logits)])
    assert fit_temperature([logits * 2], [labels]) == pytest.approx(2, abs=0.15)


def test_an_answer_comes_from_the_first_depth_that_is_sure() -> None:
    unsure, sure = [0.3, 0.4, 0.3], [0.05, 0.05, 0.9]
    said = np.array([[sure, unsure], [[0.9, 0.1, 0.0], sure], [unsure, unsure]])
    answers, depth = first_sure(said, 0.8)
    assert depth.tolist() == [0, 1]
    assert answers.tolist() == [sure, sure]
    assert first_sure(said, 1.0)[1].tolist() == [2, 2]


def everywhere(
    early: np.ndarray, full: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Rows]]:
    """The same answers and labels in every file."""
    names = {line.file for line in LINES} | set(LAYERS_FILES) | set(CALIBRATION_FILES)
    labels = np.tile(LABELS, 500)
    said = np.stack([np.tile(early, (500, 1)), np.tile(full, (500, 1))])
    return dict.fromkeys(names, said), {name: Rows([], labels) for name in names}


def test_the_confidence_is_the_least_that_loses_nothing() -> None:
    right = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8]])
    early = right.copy()
    early[3] = (0.6, 0.25, 0.15)  # wrong, and less sure than the others
    assert exit_confidence(*everywhere(early, right)) == pytest.approx(0.61)
    early[3] = (0.99, 0.005, 0.005)  # surer than any bound
    assert exit_confidence(*everywhere(early, right)) == 1.0


def test_the_tables_mark_what_breaks_its_bound() -> None:
    said, rows = everywhere(SAID, SAID)
    lines = table(said, rows, [3, 6], 0.75).splitlines()
    assert lines[2] == (
        "| sst2_detok.dev | two way | 2000 | 91.5% | **66.67%** | **66.67%** | **66.67%** |"
    )
    assert layers_table(said, [3, 6], 0.75).splitlines()[-1] == "| mean of the three |  |  | 4.50 |"


def test_the_curve_goes_from_the_first_depth_to_the_last(tmp_path: Path) -> None:
    wrong, right = SAID[::-1], np.eye(3)[LABELS] * 0.9 + 0.05
    said, rows = everywhere(wrong, right)
    (line,) = [each for each in curve.DRAWN if each.file == "sst3_detok.dev"]
    found = curve.points(line, said[line.file], rows[line.file].labels, [3, 6])
    assert found[0] == (3.0, mean_recall(wrong, LABELS))
    assert found[-1] == (6.0, 1.0)

    curve.draw(said, rows, [3, 6], tmp_path / "curve.svg")
    assert "sst3_detok, mean recall" in (tmp_path / "curve.svg").read_text()
    for row in curve.table(said, rows, [3, 6]).splitlines()[2:]:
        assert row.endswith("100.0% (6.0) |")


def test_documents_are_kept_out_by_their_hash(write: Write, data: Path) -> None:
    long = [("negative", f"{number} " + "word " * 400) for number in range(1_510)]
    write(f"train/{files.LONG_REVIEWS}", [("positive", "short"), *long])
    write(f"train/{files.BUSINESS_REVIEWS}", [("positive", f"text {n}") for n in range(1_000)])

    kept = files.documents(data, files.LONG_REVIEWS)
    assert len(kept) == 1_500
    assert ("positive", "short") not in kept
    assert 60 < len(files.documents(data, files.BUSINESS_REVIEWS)) < 140
    assert files.documents(data, "mr.all") == []
