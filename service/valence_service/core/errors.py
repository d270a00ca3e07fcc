"""Why a client gets no answer."""

from __future__ import annotations


class ValenceError(Exception):
    """What a caller is told instead of an answer. The message is for the caller to read."""


class InvalidField(ValenceError):
    """A field of a request breaks a rule."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        """The path from the request message: ``text``, ``texts[3]``."""
        self.description = description


class MalformedMessage(ValenceError):
    """The bytes of a request are not its message."""


class Unauthenticated(ValenceError):
    """The call carries no token that counts."""


class Overloaded(ValenceError):
    """There is no time until the caller's deadline; or, as QueueFull, no room in the queue."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFull(Overloaded):
    """There is no room in the queue."""


class DeadlinePassed(ValenceError):
    """The caller's deadline passed before the text's turn came."""


class Unavailable(ValenceError):
    """The service does not take calls now."""


class Starting(Unavailable):
    """The model is still being loaded."""


class Draining(Unavailable):
    """The service is ending."""


class Unhealthy(Unavailable):
    """The model no longer answers as it should."""


class ModelFailed(ValenceError):
    """The model raised on this text, or broke its promise. The cause is for the log alone."""
