"""Does the model still answer? A canary tells, asked at the start and when there is doubt."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import structlog

from valence_service.sentiment import ValenceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from valence_service.engine.batcher import Batcher

CANARY = "I loved every minute of it."
CANARY_SECONDS = 30.0
# One caller's bad texts may fail in a row; the canary, not their number, decides.
DOUBT_FAILURES = 3
DOUBT_STALLED_SECONDS = 60.0
POLL_SECONDS = 1.0
log = structlog.get_logger()


class CanaryDied(Exception):
    """The model did not answer the canary as a model does."""


async def ask_canary(batcher: Batcher) -> None:
    """Classify a harmless text the way every text goes. Raises CanaryDied."""
    try:
        async with asyncio.timeout(CANARY_SECONDS):
            # A full queue says nothing about the model: wait for a place instead.
            answer = await (await batcher.submit_when_room(CANARY))
    except TimeoutError as error:
        raise CanaryDied(f"no answer in {CANARY_SECONDS:.0f} s") from error
    except ValenceError as error:
        raise CanaryDied(f"no answer: {error.__cause__ or error}") from error
    if not all(math.isfinite(score.score) for score in answer.sentiment.scores):
        raise CanaryDied("its scores are not numbers")


async def watch(batcher: Batcher, tell: Callable[[bool], None]) -> None:
    """Tell of each change between healthy and not, until cancelled. Starts healthy."""
    healthy = True
    while True:
        await asyncio.sleep(POLL_SECONDS)
        stalled = batcher.stalled_seconds > DOUBT_STALLED_SECONDS
        if healthy and batcher.failures_in_a_row < DOUBT_FAILURES and not stalled:
            continue
        try:
            if stalled:
                raise CanaryDied(f"a batch has not ended in {DOUBT_STALLED_SECONDS:.0f} s")
            await ask_canary(batcher)
            well = True
        except CanaryDied as error:
            well = False
            log.warning("canary_died", reason=str(error))
        if well != healthy:
            healthy = well
            tell(healthy)
