"""Waiting for what another task or thread brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    """Give way to the event loop until the condition holds; fail after 20 s."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  what is waited for has no event to offer
            await asyncio.sleep(0)
