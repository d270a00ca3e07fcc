"""A small model that a server starts from quickly, its right answers, and a server of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from valence_service.models.load import prepare_model

from tests.faults.answers import Answers
from tests.faults.running import KEEPING, Running, running
from tests.support.loading import model_source


@pytest.fixture(scope="session")
def model(two_labels: str) -> tuple[str, ...]:
    """The flags for the small model, exact to the third digit.

    It is converted beforehand: a server that converts keeps torch, and a leak hides beside it.
    """
    cache_dir = Path(os.environ["XDG_CACHE_HOME"], "valence")
    prepare_model(model_source(two_labels, engine="openvino", cache_dir=cache_dir))
    return ("--model", two_labels, "--engine", "openvino", "--precision", "f32")


@pytest.fixture(scope="session")
def answers(two_labels: str) -> Answers:
    return Answers(two_labels)


@pytest.fixture(scope="module")
def server(model: tuple[str, ...]) -> Iterator[Running]:
    """A server for the tests of a file, none of which may do it harm."""
    with running(*model, python=KEEPING) as started:
        yield started
