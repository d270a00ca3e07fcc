"""Convert a status on the wire to the error that it means, after AIP-193."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from valence_client import errors
from valence_client._unreachable import says_more, why

if TYPE_CHECKING:
    from collections.abc import Iterable

    from valence_client._unreachable import Peer

DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
# gRPC's message for a server whose health is NOT_SERVING.
_UNHEALTHY = "backend unhealthy"
# What gRPC says where a proxy cuts off a call, because the server behind it is gone.
_RESET = "RST_STREAM"
UNREACHABLE, NOT_SERVING = "UNREACHABLE", "NOT_SERVING"

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_PLAIN: dict[grpc.StatusCode, type[errors.ValenceError]] = {
    kind.code: kind
    for kind in (
        errors.Unavailable,
        errors.DeadlineExceeded,
        errors.Unauthenticated,
        errors.PermissionDenied,
    )
}


@dataclass(slots=True)
class _Details:
    """The details of a status beyond its code and message."""

    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violation: Any = None
    retry_after_seconds: float | None = None


def error_of_status(status: status_pb2.Status) -> errors.ValenceError:
    """Return the error of one text of many."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _error(code, status.message, _read(status.details))


def error_of_call(error: grpc.RpcError, peer: Peer) -> errors.ValenceError:
    """Return the error of a whole call, with gRPC's as its cause. ``peer`` is for the message."""
    code, message = error.code(), error.details() or ""
    try:
        status = status_pb2.Status.FromString(_trailer(error, DETAILS_KEY) or b"")
    except DecodeError:
        status = status_pb2.Status()
    details = _read(status.details)
    pushback = pushback_seconds(error)
    if details.retry_after_seconds is None and pushback is not None and pushback >= 0:
        details.retry_after_seconds = pushback
    if not details.reason:
        if code is grpc.StatusCode.INTERNAL and _RESET in message:
            code = grpc.StatusCode.UNAVAILABLE
        message, details.reason = _explained(code, message, peer)
    made = _error(code, message, details)
    made.__cause__ = error
    return made


def more_telling(
    before: errors.ValenceError | None, now: errors.ValenceError
) -> errors.ValenceError:
    """Return the error of an attempt, or of the attempt before if it says more."""
    if before is not None and says_more(_details_of(before), _details_of(now)):
        return before
    return now


def _details_of(error: errors.ValenceError) -> str:
    cause = error.__cause__
    return str(cause.details()) if isinstance(cause, grpc.RpcError) else ""


def late(address: str) -> str:
    """Return the message of a deadline that passed."""
    return f"no answer from {address} in time: allow more with timeout_seconds"


def pushback_seconds(error: grpc.RpcError) -> float | None:
    """Return the server's wait before a retry: negative forbids one, None leaves it to us."""
    value = _trailer(error, PUSHBACK_KEY)
    try:
        return None if value is None else int(value) / 1e3
    except ValueError:
        return -1.0  # gRFC A6: no retry if the value is not a number


def _trailer(error: grpc.RpcError, wanted: str) -> Any:
    # These are pairs, though the published types differ.
    trailers = cast("Iterable[tuple[str, Any]]", error.trailing_metadata() or ())
    return next((value for key, value in trailers if key == wanted), None)


def _read(packed: Iterable[Any]) -> _Details:
    """Read the known details. Skip unknown and broken ones: the code still holds."""
    details = _Details()
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in packed:
        try:
            if detail.Unpack(info):
                details.reason, details.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(request) and request.field_violations:
                details.violation = request.field_violations[0]
            elif detail.Unpack(retry):
                details.retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
        except DecodeError:
            continue
    return details


def _error(code: grpc.StatusCode, message: str, details: _Details) -> errors.ValenceError:
    reason = details.reason
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        field, description = "", message
        if details.violation is not None:
            field, description = details.violation.field, details.violation.description
        return errors.InvalidText(message, reason=reason, field=field, description=description)
    # Without either it is no overload: gRPC also uses RESOURCE_EXHAUSTED for a message that is too
    # large, and sending that again would not help.
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and (
        reason == "OVERLOADED" or details.retry_after_seconds is not None
    ):
        return errors.Overloaded(
            message, reason=reason, retry_after_seconds=details.retry_after_seconds
        )
    if code is grpc.StatusCode.INTERNAL:
        kind = errors.ModelFailed if reason == "MODEL_FAILED" else errors.ServerFailed
        return kind(message, reason=reason, incident=details.metadata.get("id", ""))
    error = _PLAIN.get(code, errors.ValenceError)(message, reason=reason)
    error.code = code
    return error


def _explained(code: grpc.StatusCode, said: str, peer: Peer) -> tuple[str, str]:
    """Return message and reason of an error that comes from gRPC or a proxy, not the service."""
    address = peer.address
    if code is grpc.StatusCode.UNAVAILABLE and _UNHEALTHY in said:
        message = f"the server at {address} takes no calls now: it starts, ends or is unhealthy"
        return message, NOT_SERVING
    if code is grpc.StatusCode.UNAVAILABLE:
        return why(said, peer), UNREACHABLE
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return late(address), ""
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"{address} does not serve valence.v1: check the address ({said})", ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "CLIENT: Received message" in said:
        message = (
            f"the answer from {address} is larger than this client takes: raise "
            f"grpc.max_receive_message_length in channel_options, or send fewer texts ({said})"
        )
        return message, ""
    return f"{code.name} from {address}: {said}", ""
