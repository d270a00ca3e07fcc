"""Small files of texts, and a small classifier with exits."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

from tests.support import models
from training.base import read_tokenizer
from training.batches import Batch, batches
from training.data import DEV_FILES
from training.example import Example
from training.exits import WithExits

HELD_OUT = "This one is held out."
# The small model has 64 positions.
SHORT_TEXTS = [text for text in models.TEXTS if len(text) < 64]
Write = Callable[[str, list[tuple[str, str]]], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of labelled texts below tmp_path."""

    def write(name: str, rows: list[tuple[str, str]]) -> None:
        path = tmp_path / f"{name}.tsv.gz"
        path.parent.mkdir(exist_ok=True)
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.writelines(f"{label}\t{text}\n" for label, text in [("label", "text"), *rows])

    return write


@pytest.fixture
def data(tmp_path: Path, write: Write) -> Path:
    for name in DEV_FILES:
        write(f"dev/{name}", [("negative", HELD_OUT.upper())])
    return tmp_path


@pytest.fixture(scope="session")
def three_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model with three labels and two layers."""
    folder = tmp_path_factory.mktemp("models") / "three"
    models.make_model(folder, ["NEGATIVE", "NEUTRAL", "POSITIVE"])
    return folder


@pytest.fixture
def answering(three_labels: Path) -> tuple[WithExits, Tokenizer]:
    """The small model with an exit after its first layer, its head's weights random."""
    model = AutoModelForSequenceClassification.from_pretrained(
        three_labels, attention_probs_dropout_prob=0.0
    )
    torch.manual_seed(3)
    return WithExits(model, (1,)).eval(), read_tokenizer(three_labels)


@pytest.fixture
def batched(answering: tuple[WithExits, Tokenizer]) -> list[Batch]:
    """Some batches of a few texts."""
    rng = np.random.default_rng(1)
    examples = [
        Example(text, neutral=0.1, neutral_weight=1.0, positive=place % 2, positive_weight=1.0)
        for place, text in enumerate(SHORT_TEXTS * 40)
    ]
    return batches(examples, answering[1], rng)
