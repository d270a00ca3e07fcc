"""The call under way, in the form that every transport makes and telemetry reads."""

from __future__ import annotations

import enum
import logging
import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol, Self

import structlog

from valence_service.core.clock import now
from valence_service.core.errors import ValenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence
    from typing import Any

    from valence_service.core.sentiment import Timings

REQUEST_ID = "x-request-id"
MAX_REQUEST_ID_BYTES = 128
# W3C Trace Context: version, trace id, parent's id, flags.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_logger = logging.getLogger("valence_service")
log = structlog.get_logger()


class Outcome(enum.IntEnum):
    """How a call ended: the canonical codes of google.rpc.Code."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcSystem(enum.StrEnum):
    """The protocol of a remote procedure call, by its name in OpenTelemetry's conventions."""

    GRPC = "grpc"
    CONNECT = "connect_rpc"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The request of a call by a form of its own, which is no protocol for procedures."""

    method: str
    route: str
    """The path with a name for each part that varies."""
    path: str
    scheme: str


class Meter(Protocol):
    """Counts calls, on the event loop: it must be quick, and not raise."""

    def ended(self, method: str, code: str, seconds: float) -> None:
        """Count a call that has ended, with the name of its Outcome."""

    def refused(self, reason: str) -> None:
        """Count a refused call, or a refused text of a batch or a stream."""


class Span(Protocol):
    """What a trace holds of one call."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    def end(
        self, outcome: Outcome, timings: Sequence[Timings], *, http_status: int | None = None
    ) -> None:
        """End the span with the outcome of the call and the timings of its texts."""


class Tracer(Protocol):
    """Makes a span for each call, on the event loop: it must be quick, and not raise."""

    def begin(self, method: str, metadata: Mapping[str, str], via: RpcSystem | HttpRequest) -> Span:
        """Begin a span. The metadata may name the client's span, which is its parent."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Who observes each call, if anyone."""

    meter: Meter | None = None
    tracer: Tracer | None = None


class CallScope:
    """One call from its arrival to its end: ``with CallScope(...) as call``.

    Every call passes through one, so it must be quick. A transport makes it from its own request,
    and overrides ``_outcome`` where it knows better how the call ended.
    """

    __slots__ = (
        "_meter",
        "_peer",
        "_span",
        "_started",
        "deadline",
        "http_status",
        "method",
        "request_id",
        "timings",
        "traceparent",
    )

    def __init__(
        self,
        telemetry: Telemetry,
        method: str,
        *,
        metadata: Mapping[str, str],
        peer: Callable[[], str],
        deadline: float | None,
        via: RpcSystem | HttpRequest = RpcSystem.GRPC,
    ) -> None:
        self._started = now()
        self._meter = telemetry.meter
        self._peer = peer
        self.method = method
        self.deadline = deadline
        """The client's, in seconds of the event loop's clock."""
        self.request_id = request_id(metadata.get(REQUEST_ID))
        """The client's, or a new one."""
        self.traceparent = metadata.get("traceparent", "")
        """As the client sent it, or empty."""
        self.timings: Sequence[Timings] = ()
        """Of its texts, once they have answers; empty for a stream."""
        self.http_status: int | None = None
        """Of the response, once it has begun; None for another transport."""
        self._span = telemetry.tracer.begin(method, metadata, via) if telemetry.tracer else None

    @property
    def peer(self) -> str:
        """The client's address, as the transport writes it."""
        return self._peer()

    @property
    def trace_id(self) -> str:
        """The id of the call's trace; empty where it has none."""
        if self._span:
            return self._span.trace_id
        found = _TRACEPARENT.fullmatch(self.traceparent)
        return found[1] if found else ""

    def refused(self, error: Exception) -> None:
        """Count the refusal of the call, or of a text of it. A fault of the service is none."""
        if self._meter and isinstance(error, ValenceError) and error.refusal:
            self._meter.refused(error.refusal)

    def __enter__(self) -> Self:
        _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        seconds = now() - self._started
        outcome = self._outcome(kind)
        if self._meter:
            self._meter.ended(self.method, outcome.name, seconds)
        if self._span:
            self._span.end(outcome, self.timings, http_status=self.http_status)
        if _logger.isEnabledFor(logging.DEBUG):
            log.debug(
                "call",
                method=self.method,
                peer=self.peer,
                code=outcome.name,
                seconds=round(seconds, 6),
            )

    def _outcome(self, kind: type[BaseException] | None) -> Outcome:
        """Return how a call ended, with an exception of this type or without one."""
        if kind is None:
            return Outcome.OK
        return Outcome.INTERNAL if issubclass(kind, Exception) else Outcome.CANCELLED


_current: ContextVar[CallScope] = ContextVar("call")
# Unique to the process and cheap to make: an id need not be hard to guess.
_process = secrets.token_hex(6)
_numbers = count()


def current_call() -> CallScope:
    """Return the call that this task works for. Raise LookupError outside of one."""
    return _current.get()


def request_id(given: str | None) -> str:
    """Return the client's id if it is printable ASCII and not too long, else a new one."""
    if (
        given
        and len(given) <= MAX_REQUEST_ID_BYTES
        and given.isascii()
        and given.isprintable()
        and not given.isspace()
    ):
        return given
    return f"{_process}{next(_numbers):08x}"


def add_ids(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Give a log line of a call its ids. A processor of structlog."""
    if call := _current.get(None):
        event["request_id"] = call.request_id
        if trace_id := call.trace_id:
            event["trace_id"] = trace_id
    return event
