"""The end of the service, within its grace."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from valence_service.core.errors import Draining

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.core.readiness import Readiness
    from valence_service.serving.registry import ServedModel
    from valence_service.serving.service import SentimentService
    from valence_service.transports.transport import Transport

# Load balancers see NOT_SERVING in this time and send no more; until then calls are taken.
LAME_DUCK_SECONDS = 0.5
# gRPC ends calls that have arrived and not yet begun with CANCELLED (grpc/grpc#41785). So it stops
# only once every text has its answer and no call has arrived for QUIESCENT_SECONDS; calls that do
# arrive get UNAVAILABLE.
QUIESCENT_SECONDS = 0.25
MAX_QUIESCENCE_SECONDS = 3.0
log = structlog.get_logger()


async def drain(
    service: SentimentService,
    readiness: Readiness,
    transports: Sequence[Transport],
    model: ServedModel,
    *,
    grace_seconds: float,
) -> None:
    """Give every accepted call its answer or UNAVAILABLE before the grace is over."""
    log.info("draining", grace_seconds=grace_seconds)
    ends = time.monotonic() + grace_seconds
    readiness.set(serving=False)
    await asyncio.sleep(min(LAME_DUCK_SECONDS, grace_seconds / 10))
    service.refuse(Draining("the server is ending: call another one"))
    readiness.end()
    for transport in transports:
        transport.end_idle()
    await _wait_until_quiescent(service, model, min(MAX_QUIESCENCE_SECONDS, grace_seconds / 3))
    left = max(0.0, ends - time.monotonic())
    stopped = asyncio.gather(*(transport.stop(left) for transport in transports))
    # The batcher fails what it could not compute a little before the transports cut calls off, so
    # that clients get UNAVAILABLE instead of hearing nothing.
    abandons = time.monotonic() + left * 0.8
    # A closed queue takes no text, so those that are on their way come first.
    await model.arrivals.end(timeout_seconds=left * 0.8)
    if not await model.batcher.close(timeout_seconds=max(0.0, abandons - time.monotonic())):
        log.warning("abandoned", reason="a batch was still computing at the end of the grace")
    await stopped


async def _wait_until_quiescent(
    service: SentimentService, model: ServedModel, max_seconds: float
) -> None:
    """Wait until every text has its answer and no call arrives any more."""
    ends = time.monotonic() + max_seconds
    quiescent = False
    while not quiescent and (asleep := time.monotonic()) < ends:
        refused, answered = service.refused_calls, model.idle
        await asyncio.sleep(QUIESCENT_SECONDS)
        # On a machine too busy to wake this loop in time, silence says nothing.
        on_time = time.monotonic() - asleep < 2 * QUIESCENT_SECONDS
        # And a client that has yet to be answered may well call again.
        quiescent = on_time and answered and refused == service.refused_calls
