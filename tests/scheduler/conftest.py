"""What every test of the scheduler has around it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from valence_service.core import clock
from valence_service.scheduler import queue, recovery, replica


@pytest_asyncio.fixture(autouse=True)
async def _no_stray_errors() -> AsyncIterator[None]:
    """An exception that nobody retrieves or catches is a failure, not a line in a log."""
    stray: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: stray.append(context))
    yield
    gc.collect(1)
    assert not stray


@pytest_asyncio.fixture
async def put_clock_forward(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes the loop's clock and core.clock jump: by fewer seconds than a test may take.

    core.clock stands still in between, so that what is computed takes exactly as long as a test
    says. The loop's goes on, for a test that hangs to end.
    """
    loop = asyncio.get_running_loop()
    real_time = loop.time
    began = clock.now()
    jumped = 0.0

    def jump(seconds: float) -> None:
        nonlocal jumped
        jumped += seconds

    monkeypatch.setattr(loop, "time", lambda: real_time() + jumped)
    for module in (queue, replica):
        monkeypatch.setattr(module, "now", lambda: began + jumped)
    return jump


@pytest.fixture
def recovers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "RECOVERY_SECONDS", 0)
