"""The spans of each call: the call, and in it the queue and the inference.

The last two are made once the call has ended, from the timings of its answers.
"""

from __future__ import annotations

import time
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from valence_service.core.clock import now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace.export import SpanExporter

    from valence_service.core.sentiment import Timings

# Of a server's span, by the conventions for gRPC: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED,
# INTERNAL, UNAVAILABLE and DATA_LOSS. The others are the caller's doing.
_FAULTS = frozenset((2, 4, 12, 13, 14, 15))
_EXPORTERS = "opentelemetry_traces_exporter"


class UnknownExporter(Exception):
    """No exporter has this name; the message says which there are."""


class CallSpan:
    """The span of one call."""

    __slots__ = ("_offset", "_span", "_tracer")

    def __init__(self, tracer: trace.Tracer, span: trace.Span, started_ns: int) -> None:
        self._tracer = tracer
        self._span = span
        # From core.clock to the time of day.
        self._offset = started_ns - _nanoseconds(now())

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def end(self, code: int, timings: Sequence[Timings]) -> None:
        """End the span with the call's status code and the timings of its texts."""
        if not self._span.is_recording():
            return
        if timings:
            queued = [t.queued_at for t in timings]
            begun = [t.queued_at + t.queue_seconds for t in timings]
            ended = [t.queued_at + t.queue_seconds + t.inference_seconds for t in timings]
            parent = trace.set_span_in_context(self._span, Context())
            self._child("queue", parent, min(queued), max(begun))
            self._child("inference", parent, min(begun), max(ended))
            self._span.set_attribute("valence.texts", len(timings))
        self._span.set_attribute("rpc.grpc.status_code", code)
        if code in _FAULTS:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()

    def _child(self, name: str, parent: Context, start: float, end: float) -> None:
        span = self._tracer.start_span(
            name, context=parent, start_time=self._offset + _nanoseconds(start)
        )
        span.end(self._offset + _nanoseconds(end))


class Traces:
    """Begins a span for each call of a service, and sends what has ended.

    ``others`` has the service of each method that is not of ``service``. ``exporters`` are names of
    OpenTelemetry's entry points. All else (where to, sampling, limits) the SDK reads from its OTEL_
    variables. Raise UnknownExporter.
    """

    def __init__(self, service: str, exporters: Sequence[str], others: Mapping[str, str]) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        for exporter in exporters:
            self._provider.add_span_processor(BatchSpanProcessor(_exporter(exporter)))
        self._tracer = self._provider.get_tracer("valence_service", version("valence-service"))
        self._propagator = propagate.get_global_textmap()
        self._service = service
        self._others = others
        self._facts: dict[str, dict[str, str]] = {}

    def begin(self, method: str, metadata: Mapping[str, str]) -> CallSpan:
        """Begin a span. The metadata may name the client's span, which is its parent."""
        started_ns = time.time_ns()
        facts = self._facts.get(method)
        if facts is None:
            facts = self._facts[method] = {
                "rpc.system": "grpc",
                "rpc.service": self._others.get(method, self._service),
                "rpc.method": method,
            }
        context = Context()
        if not self._propagator.fields.isdisjoint(metadata):
            context = self._propagator.extract(metadata, context)
        span = self._tracer.start_span(
            f"{facts['rpc.service']}/{method}",
            context=context,
            kind=trace.SpanKind.SERVER,
            attributes=facts,
            start_time=started_ns,
        )
        return CallSpan(self._tracer, span, started_ns)

    def close(self) -> None:
        """Send what has not been sent. Block for as long as the exporters take."""
        self._provider.shutdown()


def _resource() -> Resource:
    """As the variables say; the name is ours where they give none."""
    ours = {SERVICE_NAME: "valence", SERVICE_VERSION: version("valence-service")}
    theirs = Resource.create()
    if str(theirs.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return theirs.merge(Resource(ours))
    return Resource(ours).merge(theirs)


def _exporter(name: str) -> SpanExporter:
    known = entry_points(group=_EXPORTERS)
    if name not in known.names:
        raise UnknownExporter(
            f"there is no exporter {name!r} for traces: {', '.join(sorted(known.names))} are here"
        )
    make: type[SpanExporter] = known[name].load()
    return make()


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
