"""A small model that a server starts from quickly, its right answers, and a server of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.answers import Answers
from tests.faults.running import KEEPING, Running, running


@pytest.fixture(scope="session")
def model(two_labels: str) -> tuple[str, ...]:
    """The flags for the small model, exact to the third digit."""
    return ("--model", two_labels, "--engine", "openvino", "--precision", "f32")


@pytest.fixture(scope="session")
def answers(two_labels: str) -> Answers:
    return Answers(two_labels)


@pytest.fixture(scope="module")
def server(model: tuple[str, ...]) -> Iterator[Running]:
    """A server for the tests of a file, none of which may do it harm."""
    with running(*model, "--http-port", "0", python=KEEPING) as started:
        yield started
