"""Errors as gRPC tells them: a google.rpc.Status with its details, after AIP-193."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from valence_service.core.call import REQUEST_ID, current_call
from valence_service.core.errors import Kind
from valence_service.core.failure import DOMAIN, Failure, explain

_CODES = {
    Kind.INVALID_FIELD: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.MALFORMED_MESSAGE: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Kind.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    Kind.STARTING: grpc.StatusCode.UNAVAILABLE,
    Kind.DRAINING: grpc.StatusCode.UNAVAILABLE,
    Kind.UNHEALTHY: grpc.StatusCode.UNAVAILABLE,
    Kind.MODEL_FAILED: grpc.StatusCode.INTERNAL,
    Kind.INTERNAL: grpc.StatusCode.INTERNAL,
}


def item_status(error: Exception) -> Status:
    """Return the status of one text of a batch or a stream, and count its refusal."""
    current_call().refused(error)
    return _status(explain(error))


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """End the call with the status of error.

    Count the refusal once gRPC has sent it: a client that has gone is refused nothing.
    """
    call = current_call()
    failure = explain(error)
    status = _status(failure)
    trailers: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", status.SerializeToString()),
        (REQUEST_ID, call.request_id),
    ]
    if failure.retry_after_seconds is not None:
        # Stock clients wait this long before they retry, without knowing RetryInfo.
        pushback_milliseconds = round(failure.retry_after_seconds * 1e3)
        trailers.append(("grpc-retry-pushback-ms", str(pushback_milliseconds)))
    try:
        await context.abort(_CODES[failure.kind], failure.message, tuple(trailers))
    except grpc.aio.AbortError:
        call.refused(error)
        raise
    raise AssertionError("abort always raises")


def _status(failure: Failure) -> Status:
    status = Status(code=_CODES[failure.kind].value[0], message=failure.message)
    info = details.ErrorInfo(reason=failure.kind.value, domain=DOMAIN)
    if failure.incident:
        info.metadata["id"] = failure.incident
    status.details.add().Pack(info)
    if failure.field:
        violation = details.BadRequest.FieldViolation(
            field=failure.field, description=failure.description
        )
        status.details.add().Pack(details.BadRequest(field_violations=[violation]))
    if failure.retry_after_seconds is not None:
        delay = Duration()
        delay.FromNanoseconds(round(failure.retry_after_seconds * 1e9))
        status.details.add().Pack(details.RetryInfo(retry_delay=delay))
    return status
