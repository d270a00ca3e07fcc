"""What can go wrong, one class for each thing that a caller would do about it."""

from __future__ import annotations

import grpc


class ValenceError(Exception):
    """There is no answer. The message says why, for a person to read.

    An error of no class below is a ValenceError itself: look at its ``code``.
    """

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    """The gRPC status."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        """The server's word for it, such as ``OVERLOADED``, or the client's own: ``UNREACHABLE``,
        ``NOT_SERVING``. Empty where neither has one."""


class InvalidText(ValenceError):
    """The text, or another field of the request, breaks a rule. Sending it again will not help."""

    code = grpc.StatusCode.INVALID_ARGUMENT

    def __init__(
        self, message: str, *, reason: str = "", field: str = "", description: str = ""
    ) -> None:
        super().__init__(message, reason=reason)
        self.field = field
        """The path of the field: ``text``, ``texts[3]``. Empty where the server named none."""
        self.description = description
        """Which rule it breaks."""


class Overloaded(ValenceError):
    """The server's queue was full, and still was after the retries."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(
        self, message: str, *, reason: str = "", retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_seconds = retry_after_seconds
        """When there should be room; None where the server did not say."""


class Unavailable(ValenceError):
    """No server answers, or it starts, ends or is unhealthy; so it was after the retries."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(ValenceError):
    """The answer did not come in time."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unauthenticated(ValenceError):
    """The server wants a token, or another one."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(ValenceError):
    """The server knows the token and does not allow the call."""

    code = grpc.StatusCode.PERMISSION_DENIED


class ServerFailed(ValenceError):
    """A fault of the server."""

    code = grpc.StatusCode.INTERNAL

    def __init__(self, message: str, *, reason: str = "", incident: str = "") -> None:
        super().__init__(message, reason=reason)
        self.incident = incident
        """The id under which the server's log tells more; may be empty."""


class ModelFailed(ServerFailed):
    """The model failed on this text, not on its neighbours."""
