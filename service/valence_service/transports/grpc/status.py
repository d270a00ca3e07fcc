"""What each error is on the wire: a google.rpc.Status with its details, after AIP-193."""

from __future__ import annotations

import secrets
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from valence_service.core import call
from valence_service.core import errors as domain

DOMAIN = "valence"
log = structlog.get_logger()

_CODES: dict[type[Exception], tuple[grpc.StatusCode, str]] = {
    domain.InvalidField: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    domain.MalformedMessage: (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
    domain.Unauthenticated: (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    domain.Overloaded: (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    domain.QueueFull: (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    domain.DeadlinePassed: (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    domain.Starting: (grpc.StatusCode.UNAVAILABLE, "STARTING"),
    domain.Draining: (grpc.StatusCode.UNAVAILABLE, "DRAINING"),
    domain.Unhealthy: (grpc.StatusCode.UNAVAILABLE, "UNHEALTHY"),
    domain.ModelFailed: (grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
}
# What the metrics call each refusal. A failure of ours is none.
_REFUSALS: dict[type[Exception], str] = {
    domain.InvalidField: "invalid_field",
    domain.MalformedMessage: "malformed_message",
    domain.Unauthenticated: "unauthenticated",
    domain.Overloaded: "deadline",
    domain.QueueFull: "queue_full",
    domain.DeadlinePassed: "deadline",
    domain.Starting: "starting",
    domain.Draining: "draining",
    domain.Unhealthy: "unhealthy",
}
REFUSALS = tuple(dict.fromkeys(_REFUSALS.values()))
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def status_of(error: Exception) -> Status:
    """The status that tells a caller of error.

    An error that is not the caller's to understand becomes INTERNAL: it goes to the log under an
    id, and the caller gets the id.
    """
    code, reason = _CODES.get(type(error), (grpc.StatusCode.INTERNAL, "INTERNAL"))
    if refusal := _REFUSALS.get(type(error)):
        call.refused(refusal)
    info = details.ErrorInfo(reason=reason, domain=DOMAIN)
    message = str(error)
    if code is grpc.StatusCode.INTERNAL:
        incident = secrets.token_hex(8)
        log.error("internal_error", id=incident, reason=reason, exc_info=error.__cause__ or error)
        info.metadata["id"] = incident
        what = message if isinstance(error, domain.ValenceError) else "a fault of the server"
        message = f"{what}; its log tells more under id {incident}"
    status = Status(code=code.value[0], message=message)
    status.details.add().Pack(info)
    if isinstance(error, domain.InvalidField):
        violation = details.BadRequest.FieldViolation(
            field=error.field, description=error.description
        )
        status.details.add().Pack(details.BadRequest(field_violations=[violation]))
    if isinstance(error, domain.Overloaded):
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_after_seconds * 1e9))
        status.details.add().Pack(details.RetryInfo(retry_delay=delay))
    return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """End the call with the status that tells of error."""
    status = status_of(error)
    trailers: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", status.SerializeToString())
    ]
    if observed := call.current.get():
        trailers.append((call.REQUEST_ID, observed.request_id))
    if isinstance(error, domain.Overloaded):
        # Stock clients wait this long before they retry, without knowing RetryInfo.
        trailers.append(("grpc-retry-pushback-ms", str(round(error.retry_after_seconds * 1e3))))
    await context.abort(_BY_NUMBER[status.code], status.message, tuple(trailers))
