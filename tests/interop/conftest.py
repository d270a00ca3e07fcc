"""One server for all that is asked here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.refusals import MAX_QUEUE_TEXTS
from tests.support.server import Server, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving("--max-queue-texts", str(MAX_QUEUE_TEXTS), "--http-port", "0") as running:
        yield running
