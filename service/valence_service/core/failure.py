"""Errors as the client learns of them, before a transport puts them in its own form."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import structlog

from valence_service.core.errors import InvalidField, Kind, ModelFailed, Overloaded, ValenceError

DOMAIN = "valence"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as every transport tells it."""

    kind: Kind
    message: str
    incident: str = ""
    """The id of the log line that has the cause, where the fault is the service's."""
    field: str = ""
    """The field that breaks a rule, if one does."""
    description: str = ""
    """The rule that it breaks."""
    retry_after_seconds: float | None = None
    """When to try again, where trying again helps."""


def explain(error: Exception) -> Failure:
    """Return what to tell the client of error.

    The client never sees the text of an exception that is not a ValenceError: the log gets it under
    an id, and the client gets the id.
    """
    if not isinstance(error, ValenceError):
        return _incident(error, Kind.INTERNAL, "a fault of the server")
    if isinstance(error, ModelFailed):
        return _incident(error, error.kind, str(error))
    if isinstance(error, InvalidField):
        return Failure(error.kind, str(error), field=error.field, description=error.description)
    if isinstance(error, Overloaded):
        return Failure(error.kind, str(error), retry_after_seconds=error.retry_after_seconds)
    return Failure(error.kind, str(error))


def _incident(error: Exception, kind: Kind, what: str) -> Failure:
    incident = secrets.token_hex(8)
    log.error("internal_error", id=incident, reason=kind.value, exc_info=error.__cause__ or error)
    message = f"{what}; its log tells more under id {incident}"
    return Failure(kind, message, incident=incident)
