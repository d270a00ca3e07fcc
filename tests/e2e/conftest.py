"""Servers as processes, one of them shared by the tests that do it no harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Server, serving


@pytest.fixture(scope="session")
def embedded() -> Iterator[Server]:
    """A server of the embedded model, as `make run` starts it."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def tiny(two_labels: str) -> Iterator[Server]:
    """A server of a small, quick model, exact to the third digit."""
    with serving("--model", two_labels, "--precision", "f32") as server:
        yield server
