"""Monitor whether the model answers, while it serves."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from valence_service.scheduler.batcher import Batcher

POLL_SECONDS = 1.0
# A replica that is free takes what waits within some turns of the loop.
BLOCKED_SECONDS = 2.0
log = structlog.get_logger()


class ModelLost(Exception):
    """The model has not answered for too long: only a new process helps."""


class ReplicaLost(ModelLost):
    """A replica has not recovered in time. The others answer what was accepted."""


async def watch(
    batcher: Batcher,
    on_health_change: Callable[[bool], None],
    *,
    hang_seconds: float,
    exit_when_degraded: bool = False,
) -> None:
    """Call on_health_change at each transition between healthy and not. Starts healthy.

    The model is healthy while a replica is well and the queue moves. Raise ModelLost if it has not
    been healthy for half of hang_seconds. A replica that has been set aside for hang_seconds is
    logged; raise ReplicaLost instead if exit_when_degraded.
    """
    loop = asyncio.get_running_loop()
    queue = _QueueMonitor(batcher)
    unhealthy_since: float | None = None
    degraded = False
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await batcher.health_changed.wait()
        batcher.health_changed.clear()
        reason = batcher.trouble or queue.trouble()
        if reason and unhealthy_since is None:
            unhealthy_since = loop.time()
            log.error("model", healthy=False, reason=reason)
            on_health_change(False)
        elif not reason and unhealthy_since is not None:
            unhealthy_since = None
            log.warning("model", healthy=True)
            on_health_change(True)
        elif unhealthy_since is not None and loop.time() - unhealthy_since >= hang_seconds / 2:
            raise ModelLost(f"the model no longer answers: {reason}")
        was_degraded = degraded
        degraded = not reason and batcher.broken_seconds >= hang_seconds
        if degraded and not was_degraded:
            lost = f"{batcher.broken_replicas} of {batcher.replicas} replicas have not recovered"
            if exit_when_degraded:
                raise ReplicaLost(lost)
            log.error("degraded", reason=lost)


class _QueueMonitor:
    """Notices a queue that does not move although a replica is free."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._batches = batcher.batches
        self._blocked_since: float | None = None
        self._trouble = ""

    def trouble(self) -> str:
        """Return what is wrong; an empty string if nothing is.

        It stays wrong until a batch is taken: that the callers were failed mends nothing.
        """
        time = asyncio.get_running_loop().time()
        if self._batches != self._batcher.batches:
            self._batches = self._batcher.batches
            self._blocked_since = None
            self._trouble = ""
        elif not self._batcher.blocked:
            self._blocked_since = None
        elif self._blocked_since is None:
            self._blocked_since = time
        elif time - self._blocked_since >= BLOCKED_SECONDS:
            self._trouble = "texts wait although a replica is free"
        return self._trouble
