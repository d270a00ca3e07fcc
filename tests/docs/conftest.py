"""A server of the embedded model, and what the documents' examples ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Server, serving


@pytest.fixture(scope="session")
def embedded() -> Iterator[Server]:
    with serving() as server:
        yield server
