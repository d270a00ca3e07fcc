"""The call that is being answered: its ids, and who is told of it. Knows nothing of grpc."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from typing import Any

    from valence_service.core.sentiment import Timings

REQUEST_ID = "x-request-id"
MAX_REQUEST_ID_BYTES = 128
# W3C Trace Context: version, trace id, parent's id, flags.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Meter(Protocol):
    """Counts calls, on the event loop: it must be quick, and not raise."""

    def ended(self, method: str, code: str, seconds: float) -> None:
        """A call has ended with a status code."""

    def refused(self, reason: str) -> None:
        """A call, or a text of a batch or a stream, was refused."""


class Span(Protocol):
    """What a trace holds of one call."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    def end(self, code: int, timings: Sequence[Timings]) -> None:
        """The call has ended with a status code; the timings are those of its texts."""


class Tracer(Protocol):
    """Makes a span for each call, on the event loop: it must be quick, and not raise."""

    def begin(self, method: str, metadata: Mapping[str, str]) -> Span:
        """A call has come. Its metadata may name the caller's span."""


class Call:
    """A call of the contract."""

    __slots__ = ("meter", "request_id", "span", "timings", "traceparent")

    request_id: str
    traceparent: str
    """As the caller sent it, or empty."""
    meter: Meter | None
    span: Span | None
    timings: Sequence[Timings]
    """Of its texts, once they are answered; of a stream's, nothing is kept."""

    @property
    def trace_id(self) -> str:
        """Of the trace that the call is part of; empty where it is of none."""
        if self.span:
            return self.span.trace_id
        found = _TRACEPARENT.fullmatch(self.traceparent)
        return found[1] if found else ""


current: ContextVar[Call | None] = ContextVar("call", default=None)
"""The call that a task works for. grpc runs each call in a task of its own."""


# No secret, only different for each call of each process: the cheapest such.
_process = secrets.token_hex(6)
_numbers = count()


def request_id(given: str | None) -> str:
    """The caller's, if it is printable ASCII and not too long; else a new one."""
    if (
        given
        and len(given) <= MAX_REQUEST_ID_BYTES
        and given.isascii()
        and given.isprintable()
        and not given.isspace()
    ):
        return given
    return f"{_process}{next(_numbers):08x}"


def answered(timings: Sequence[Timings]) -> None:
    """Note where the time of the call's texts went."""
    if call := current.get():
        call.timings = timings


def refused(reason: str) -> None:
    """The call, or a text of it, was refused."""
    if (call := current.get()) and call.meter:
        call.meter.refused(reason)


def add_ids(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Give a log line of a call its ids. A processor of structlog."""
    if call := current.get():
        event["request_id"] = call.request_id
        if trace_id := call.trace_id:
            event["trace_id"] = trace_id
    return event
