"""Errors as HTTP tells them: a status, and a body in Connect's form of an error."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2 as details
from starlette.responses import JSONResponse

from valence_service.core.call import Outcome
from valence_service.core.errors import MalformedMessage
from valence_service.transports.status import OUTCOMES, status_of

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as PackedMessage
    from google.protobuf.message import Message
    from google.rpc.status_pb2 import Status

    from valence_service.core.failure import Failure

HTTP_STATUSES = {
    Outcome.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Outcome.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Outcome.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Outcome.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    Outcome.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Outcome.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    Outcome.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_DETAILS: tuple[type[Message], ...] = (
    details.ErrorInfo,
    details.BadRequest,
    details.RetryInfo,
)


class BadBody(MalformedMessage):
    """A body that is not what its path takes."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


def code_name(outcome: int) -> str:
    """Return a canonical code as Connect writes it: ``invalid_argument``."""
    return "canceled" if outcome == Outcome.CANCELLED else Outcome(outcome).name.lower()


def error_body(status: Status) -> dict[str, Any]:
    """Return a status in Connect's form, with each detail readable under ``debug``."""
    return {
        "code": code_name(status.code),
        "message": status.message,
        "details": [_detail(packed) for packed in status.details],
    }


def error_response(error: Exception, failure: Failure) -> JSONResponse:
    """Return the response to a call that ends with error, which failure explains."""
    known = HTTP_STATUSES[OUTCOMES[failure.kind]]
    return JSONResponse(
        error_body(status_of(failure)),
        status_code=error.status if isinstance(error, BadBody) else known,
        headers=error_headers(failure),
    )


def json_error(outcome: Outcome, message: str, http_status: HTTPStatus) -> JSONResponse:
    """Return the response to a request that is no call of the contract."""
    return JSONResponse(plain_error(outcome, message), status_code=http_status)


def plain_error(outcome: Outcome, message: str) -> dict[str, Any]:
    """Return the body of an error that is no call's."""
    return {"code": code_name(outcome), "message": message, "details": []}


def error_headers(failure: Failure) -> dict[str, str]:
    """Return the headers that go with a failure: when to come back, how to authenticate."""
    headers = {}
    if failure.retry_after_seconds is not None:
        # Whole seconds are all that HTTP knows; the body has the exact time.
        headers["retry-after"] = str(max(1, round(failure.retry_after_seconds)))
    if OUTCOMES[failure.kind] is Outcome.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    return headers


def _detail(packed: PackedMessage) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "type": packed.TypeName(),
        # Connect leaves the padding out.
        "value": base64.b64encode(packed.value).decode().rstrip("="),
    }
    for kind in _DETAILS:
        if packed.TypeName() == kind.DESCRIPTOR.full_name:
            message = kind()
            packed.Unpack(message)
            detail["debug"] = MessageToDict(message)
    return detail
