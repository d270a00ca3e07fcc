"""Texts on their way to the queue: the end of the service waits for them."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Arrivals:
    """Counts accepted texts that are being divided or wait for room. Belongs to one event loop."""

    def __init__(self) -> None:
        self._count = 0
        self._ended = asyncio.Event()
        self._ended.set()

    def __len__(self) -> int:
        """Return how many calls and streams have such texts."""
        return self._count

    @contextmanager
    def arrival(self) -> Iterator[None]:
        """Count one, until its texts are in the queue or refused."""
        self._count += 1
        self._ended.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._ended.set()

    async def end(self, *, timeout_seconds: float) -> None:
        """Wait until none is on its way any more, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._ended.wait()
