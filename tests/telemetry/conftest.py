"""A server that is scraped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.server import Server, launched

METRICS = ("--metrics-port", "0")


@dataclass(frozen=True)
class Scraped:
    """A server, and where it tells of itself."""

    server: Server
    metrics: str


@pytest.fixture(scope="session")
def scraped(two_labels: str) -> Iterator[Scraped]:
    """A server of a small model with metrics."""
    with launched("--model", two_labels, "--precision", "f32", *METRICS) as server:
        facts = server.event("SERVING")
        server.address = facts["address"]
        yield Scraped(server, facts["metrics"])
