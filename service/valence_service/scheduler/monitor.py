"""Monitor whether the model answers while it serves; when it is idle, ask the canary."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from valence_service.scheduler.canary import ReplicaBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from valence_service.scheduler.batcher import Batcher

POLL_SECONDS = 1.0
IDLE_CANARY_SECONDS = 60.0
log = structlog.get_logger()


class ModelLost(Exception):
    """The model has not answered for too long: only a new process helps."""


async def watch(
    batcher: Batcher, on_health_change: Callable[[bool], None], *, hang_seconds: float
) -> None:
    """Call on_health_change at each transition between healthy and not. Starts healthy.

    The model is not healthy while a batch has been computing for half of hang_seconds, or a
    replica does not answer the canary. Raise ModelLost after as long again without a recovery.
    """
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    unhealthy_since: float | None = None
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if not batcher.idle:
            asked_at = loop.time()
        reason = _trouble(batcher, hang_seconds / 2)
        doubt = unhealthy_since is not None or loop.time() - asked_at >= IDLE_CANARY_SECONDS
        if doubt and not reason:
            asked_at = loop.time()
            reason = await _ask(batcher, hang_seconds / 2)
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


def _trouble(batcher: Batcher, stalled_seconds: float) -> str:
    """Return what is wrong without asking the canary; an empty string if nothing is."""
    if batcher.stalled_seconds >= stalled_seconds:
        return f"a batch has been computing for {batcher.stalled_seconds:.1f} s"
    if batcher.broken_replicas:
        return f"{batcher.broken_replicas} of its replicas do not answer the canary"
    return ""


async def _ask(batcher: Batcher, seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            await batcher.check_replicas()
    except TimeoutError:
        return f"the canary has not been answered in {seconds:.1f} s"
    except ReplicaBroken as error:
        return str(error)
    return ""
