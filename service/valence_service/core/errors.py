"""Why a client gets no answer, whatever transport carries the call."""

from __future__ import annotations

import enum
from typing import ClassVar


class Kind(enum.Enum):
    """A kind of error. Each transport maps the kinds to its own codes; the value is the reason."""

    INVALID_FIELD = "INVALID_FIELD"
    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNKNOWN_MODEL = "UNKNOWN_MODEL"
    OVERLOADED = "OVERLOADED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    STARTING = "STARTING"
    DRAINING = "DRAINING"
    UNHEALTHY = "UNHEALTHY"
    MODEL_FAILED = "MODEL_FAILED"
    INTERNAL = "INTERNAL"


class ValenceError(Exception):
    """An error whose message is for the client to read."""

    kind: ClassVar[Kind] = Kind.INTERNAL
    refusal: ClassVar[str] = ""
    """The reason label of valence_refusals; empty where the fault is the service's."""


class InvalidField(ValenceError):
    """A field of a request breaks a rule."""

    kind = Kind.INVALID_FIELD
    refusal = "invalid_field"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        """The path from the request message: ``text``, ``texts[3]``."""
        self.description = description


class MalformedMessage(ValenceError):
    """The bytes of a request are not its message."""

    kind = Kind.MALFORMED_MESSAGE
    refusal = "malformed_message"

    def __init__(self, message: str, *, request_id: str = "") -> None:
        super().__init__(message)
        self.request_id = request_id
        """Of a stream's request, where that much can be read."""


class Unauthenticated(ValenceError):
    """Missing or invalid token."""

    kind = Kind.UNAUTHENTICATED
    refusal = "unauthenticated"


class UnknownModel(ValenceError):
    """No model of that name is served."""

    kind = Kind.UNKNOWN_MODEL
    refusal = "unknown_model"


class Overloaded(ValenceError):
    """No answer is possible before the client's deadline."""

    kind = Kind.OVERLOADED
    refusal = "deadline"

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFull(Overloaded):
    """The queue has no room."""

    refusal = "queue_full"


class DeadlinePassed(ValenceError):
    """The client's deadline passed before the text's turn came."""

    kind = Kind.DEADLINE_EXCEEDED
    refusal = "deadline"


class Unavailable(ValenceError):
    """The service takes no calls now."""


class Starting(Unavailable):
    """The model is still loading."""

    kind = Kind.STARTING
    refusal = "starting"


class Draining(Unavailable):
    """The service is ending."""

    kind = Kind.DRAINING
    refusal = "draining"


class Unhealthy(Unavailable):
    """The model no longer answers as it should."""

    kind = Kind.UNHEALTHY
    refusal = "unhealthy"


class ModelFailed(ValenceError):
    """The model raised on this text, or broke its promise. The cause is for the log alone."""

    kind = Kind.MODEL_FAILED


REFUSALS = (
    "invalid_field",
    "malformed_message",
    "unauthenticated",
    "unknown_model",
    "deadline",
    "queue_full",
    "starting",
    "draining",
    "unhealthy",
)
"""Every value of ``refusal`` but the empty one."""
