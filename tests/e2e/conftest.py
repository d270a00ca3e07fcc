"""A server as a process, shared by the tests that do it no harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Server, serving


@pytest.fixture(scope="session")
def tiny(two_labels: str) -> Iterator[Server]:
    """A server of a small, quick model, exact to the third digit."""
    with serving("--model", two_labels, "--precision", "f32") as server:
        yield server
