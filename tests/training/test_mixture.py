"""What a run reads: sentences labelled by a teacher, none of the development texts."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from training.data import DEV_FILES
from training.mixture import Mixture
from training.recipe import Run, Source, Unlabelled

HELD_OUT = "This one is held out."
REVIEWS = [
    ("positive", "The soup was cold that day. We all loved the bread anyway. Nice."),
    ("negative", f"{HELD_OUT} The waiter came at once. Not one of us will be back."),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    def write(path: Path, rows: list[tuple[str, str]]) -> None:
        path.parent.mkdir(exist_ok=True)
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.writelines(f"{label}\t{text}\n" for label, text in [("label", "text"), *rows])

    for name in DEV_FILES:
        write(tmp_path / "dev" / f"{name}.tsv.gz", [("negative", HELD_OUT.upper())])
    write(tmp_path / "train" / "reviews.tsv.gz", REVIEWS)
    write(
        tmp_path / "train" / "sentences.tsv.gz",
        [("negative", HELD_OUT), ("neutral", "It has six legs"), ("positive", "It sings")],
    )
    return tmp_path


def test_labelled_rows_are_read_but_for_neutral_and_held_out_ones(data: Path) -> None:
    run = Run("any", 1, 1, 1e-4, 0.0, (Source("sentences"),))
    assert [(example.text, example.positive) for example in Mixture(data, run).epoch()] == [
        ("It sings", 1.0)
    ]


@pytest.mark.parametrize(
    ("doubtful", "others", "asked"),
    [
        (9, 0, {"The soup was cold that day.", "The waiter came at once."}),
        (0, 9, {"We all loved the bread anyway.", "Not one of us will be back."}),
        (1, 1, None),
    ],
)
def test_the_teacher_is_asked_for_sentences_of_both_kinds(
    data: Path, doubtful: int, others: int, asked: set[str] | None
) -> None:
    # Another label than the review's, nearly none, and twice the review's own.
    said = {"soup": -3.0, "waiter": -1.0, "bread": 3.0, "Not one": -3.0}

    def start(texts: list[str]) -> np.ndarray:
        return np.array([next(said[word] for word in said if word in text) for text in texts])

    def teacher(texts: list[str]) -> np.ndarray:
        return np.full(len(texts), 0.5)

    sources = (Unlabelled(("reviews",), doubtful=doubtful, others=others, log_odds=1.0),)
    # Without apostrophes there is nothing to vary.
    examples = Mixture(data, Run("any", 1, 1, 1e-4, 0.0, ())).ask(sources, start, teacher)
    if asked is None:
        assert len(examples) == 2
    else:
        assert {example.text.rstrip(" .!") for example in examples} == {
            text.rstrip(".") for text in asked
        }
    for example in examples:
        star = 1 if any(word in example.text for word in ("soup", "bread")) else -1
        assert example.positive == pytest.approx(1 / (1 + np.exp(-(0.5 + star))))
