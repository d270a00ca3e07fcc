"""A small model that a server starts from quickly, its right answers, and a server of it."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from tests.faults.answers import Answers
from tests.faults.running import KEEPING, Running, running

MOST_FILES = 12_000


@pytest.fixture(scope="session")
def model(two_labels: str) -> tuple[str, ...]:
    """The flags for the small model, exact to the third digit."""
    return ("--model", two_labels, "--engine", "openvino", "--precision", "f32")


@pytest.fixture(scope="session")
def answers(two_labels: str) -> Answers:
    return Answers(two_labels)


@pytest.fixture(scope="session")
def server(model: tuple[str, ...]) -> Iterator[Running]:
    """A server for all tests, none of which may do it harm."""
    # As many files, here and there, as the tests of many connections need.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_FILES if most == resource.RLIM_INFINITY else min(MOST_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    with running(*model, "--http-port", "0", python=KEEPING) as started:
        yield started
