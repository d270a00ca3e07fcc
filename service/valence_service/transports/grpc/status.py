"""The end of a gRPC call with an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from valence_service.core.call import REQUEST_ID, current_call
from valence_service.core.failure import explain
from valence_service.transports.status import OUTCOMES, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def abort(
    context: grpc.aio.ServicerContext[Any, Any],
    error: Exception,
    more_trailers: Iterable[tuple[str, bytes]] = (),
) -> NoReturn:
    """End the call with the status of error.

    Count the refusal once gRPC has sent it: a client that has gone is refused nothing.
    """
    call = current_call()
    failure = explain(error)
    trailers: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", status_of(failure).SerializeToString()),
        (REQUEST_ID, call.request_id),
        *more_trailers,
    ]
    if failure.retry_after_seconds is not None:
        # Stock clients wait this long before they retry, without knowing RetryInfo.
        pushback_milliseconds = round(failure.retry_after_seconds * 1e3)
        trailers.append(("grpc-retry-pushback-ms", str(pushback_milliseconds)))
    try:
        await context.abort(_CODES[OUTCOMES[failure.kind]], failure.message, tuple(trailers))
    except grpc.aio.AbortError:
        call.refused(error)
        raise
    raise AssertionError("abort always raises")
