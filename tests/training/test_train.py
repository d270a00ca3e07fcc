"""The steps of the recipe: each is done once, and a teacher answers the doubtful texts alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from tests.training.conftest import SHORT_TEXTS, Write
from training import train
from training.data import BUSINESS_REVIEWS, DEV_FILES, LABELS
from training.exits import WithExits
from training.forms import graph_of
from training.mixture import Mixture, Said
from training.recipe import EVERY, Run, Source, Written
from training.train import asks, of_both, trained


def two_labels(texts: list[str]) -> Said:
    return Said.of(np.full((len(texts), 2), (0.4, 0.6)))


def test_a_run_that_has_ended_is_not_done_again(
    answering: tuple[WithExits, Tokenizer],
    write: Write,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("train/rows", [("positive", text) for text in SHORT_TEXTS])
    run = Run("any", 1, 1e-3, 0.0, (Source("rows", positive=EVERY),), Written())
    model, tokenizer = answering
    untrained = model.state_dict()["heads.1.dense.weight"].clone()
    weights = trained(model, tokenizer, run, Mixture(data, run, two_labels), data)
    assert not torch.equal(weights["heads.1.dense.weight"], untrained)
    assert sorted(path.name for path in (data / "any").iterdir()) == ["batches.pt", "weights.pt"]

    def not_again(*_: object) -> None:
        pytest.fail("the run had ended")

    monkeypatch.setattr(train, "fit", not_again)
    again = trained(model, tokenizer, run, Mixture(data, run, two_labels), data)
    assert torch.equal(again["heads.1.dense.weight"], weights["heads.1.dense.weight"])


def test_the_teacher_is_asked_where_the_student_is_sure_of_no_side() -> None:
    sure, taught = [0.05, 0.1, 0.85], [0.9, 0.1, 0.0]
    says = {"plain": sure, "odd": [0.3, 0.3, 0.4], "neutral": [0.05, 0.9, 0.05]}
    asked: list[str] = []

    def student(texts: list[str]) -> np.ndarray:
        return np.array([says[text] for text in texts])

    def teacher(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.array([taught] * len(texts))

    said = of_both(student, teacher, ["plain", "odd", "plain", "neutral"])
    assert said.tolist() == [sure, taught, sure, taught]
    assert asked == ["odd", "neutral"]


def test_a_model_that_answers_is_loaded_for_new_texts_alone(
    answering: tuple[WithExits, Tokenizer], tmp_path: Path
) -> None:
    model, tokenizer = answering
    path = tmp_path / "answers.tsv"
    said = asks(path, lambda: (graph_of(model), tokenizer))(SHORT_TEXTS)

    def not_again() -> object:
        pytest.fail("the answers are in the file")

    again = asks(path, not_again)(SHORT_TEXTS)  # type: ignore[arg-type]
    assert again == pytest.approx(said, abs=1e-4)
    assert again.shape == (len(SHORT_TEXTS), 3)


def test_the_end_is_a_calibrated_folder(
    answering: tuple[WithExits, Tokenizer],
    three_labels: Path,
    write: Write,
    data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in DEV_FILES:
        rows = [(label, f"{text} {label}") for text in SHORT_TEXTS for label in LABELS]
        write(f"dev/{name}", rows)
    reviews = [("positive", f"The film was good. It was not bad {place}.") for place in range(40)]
    write(f"train/{BUSINESS_REVIEWS}", reviews)
    train.finish(*answering, data, three_labels / "tokenizer_config.json", data / "out")

    printed = capsys.readouterr().out
    assert "| sst3_detok.dev | mean recall |" in printed
    exits = json.loads((data / "out" / "config.json").read_text())["exits"]
    assert exits["layers"] == [1]
    assert 0.5 <= exits["confidence"] <= 1
