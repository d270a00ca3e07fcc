"""The client's errors: one class for each way in which a caller would react."""

from __future__ import annotations

import grpc


class ValenceError(Exception):
    """There is no answer. The message says why, for people.

    An error that fits no class below is a plain ValenceError: look at its ``code``.
    """

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    """The gRPC status."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        """Make an error with a message for people and a reason for programs."""
        super().__init__(message)
        self.reason = reason
        """The server's reason, such as ``OVERLOADED``, or the client's: ``UNREACHABLE``,
        ``NOT_SERVING``. Empty if there is none."""


class InvalidText(ValenceError):
    """The text, or another field of the request, breaks a rule. Sending it again will not help."""

    code = grpc.StatusCode.INVALID_ARGUMENT

    def __init__(
        self, message: str, *, reason: str = "", field: str = "", description: str = ""
    ) -> None:
        """Make an error of one field."""
        super().__init__(message, reason=reason)
        self.field = field
        """The path of the field: ``text``, ``texts[3]``. Empty if the server named none."""
        self.description = description
        """The rule that it breaks."""


class Overloaded(ValenceError):
    """The server is overloaded, and still was after the retries."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(
        self, message: str, *, reason: str = "", retry_after_seconds: float | None = None
    ) -> None:
        """Make an error with the time to come back."""
        super().__init__(message, reason=reason)
        self.retry_after_seconds = retry_after_seconds
        """When to try again; None if the server did not say."""


class Unavailable(ValenceError):
    """No server answers, or it starts, drains or is unhealthy, and still was after the retries.

    If no connection came about, the message says why, and ``__cause__`` is gRPC's error.
    """

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(ValenceError):
    """The answer did not come in time."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unauthenticated(ValenceError):
    """The token is missing or invalid."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(ValenceError):
    """The token is valid and does not allow the call."""

    code = grpc.StatusCode.PERMISSION_DENIED


class ServerFailed(ValenceError):
    """A fault of the server."""

    code = grpc.StatusCode.INTERNAL

    def __init__(self, message: str, *, reason: str = "", incident: str = "") -> None:
        """Make an error with the id of its entry in the server's log."""
        super().__init__(message, reason=reason)
        self.incident = incident
        """The id of the entry in the server's log; may be empty."""


class ModelFailed(ServerFailed):
    """The model failed on this text, not on its neighbours."""
