"""Errors as the contract tells them: a google.rpc.Status with its details, after AIP-193."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from valence_service.core.call import Outcome, current_call
from valence_service.core.errors import Kind
from valence_service.core.failure import DOMAIN, explain

if TYPE_CHECKING:
    from valence_service.core.failure import Failure

OUTCOMES = {
    Kind.INVALID_FIELD: Outcome.INVALID_ARGUMENT,
    Kind.MALFORMED_MESSAGE: Outcome.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: Outcome.UNAUTHENTICATED,
    Kind.UNKNOWN_MODEL: Outcome.NOT_FOUND,
    Kind.OVERLOADED: Outcome.RESOURCE_EXHAUSTED,
    Kind.DEADLINE_EXCEEDED: Outcome.DEADLINE_EXCEEDED,
    Kind.STARTING: Outcome.UNAVAILABLE,
    Kind.DRAINING: Outcome.UNAVAILABLE,
    Kind.UNHEALTHY: Outcome.UNAVAILABLE,
    Kind.MODEL_FAILED: Outcome.INTERNAL,
    Kind.INTERNAL: Outcome.INTERNAL,
}


def item_status(error: Exception) -> Status:
    """Return the status of one text of a batch or a stream, and count its refusal."""
    current_call().refused(error)
    return status_of(explain(error))


def status_of(failure: Failure) -> Status:
    """Return the status of a failure: its code, its message and what a client can act on."""
    status = Status(code=OUTCOMES[failure.kind], message=failure.message)
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
