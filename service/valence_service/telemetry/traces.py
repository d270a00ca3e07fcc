"""The spans of each call: the call, and in it the queue and the inference.

The last two are made once the call has ended, from the timings of its answers.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from valence_service.core.call import HttpRequest, Outcome, RpcSystem
from valence_service.core.clock import now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace.export import SpanExporter

    from valence_service.core.sentiment import Timings

# Of a server's span, by the conventions for gRPC. The others are the caller's doing.
_FAULTS = frozenset(
    (
        *(Outcome.UNKNOWN, Outcome.DEADLINE_EXCEEDED, Outcome.UNIMPLEMENTED),
        *(Outcome.INTERNAL, Outcome.UNAVAILABLE, Outcome.DATA_LOSS),
    )
)
_EXPORTERS = "opentelemetry_traces_exporter"


class UnknownExporter(Exception):
    """No exporter has this name; the message says which there are."""


class CallSpan:
    """The span of one call."""

    __slots__ = ("_offset", "_span", "_tracer", "_via")

    def __init__(
        self,
        tracer: trace.Tracer,
        span: trace.Span,
        via: RpcSystem | HttpRequest,
        started_ns: int,
    ) -> None:
        self._tracer = tracer
        self._span = span
        self._via = via
        # From core.clock to the time of day.
        self._offset = started_ns - _nanoseconds(now())

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def end(
        self, outcome: Outcome, timings: Sequence[Timings], *, http_status: int | None = None
    ) -> None:
        """End the span with the outcome of the call and the timings of its texts."""
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
        if isinstance(self._via, HttpRequest):
            self._set_http_status(http_status)
        else:
            self._set_rpc_status(self._via, outcome)
        self._span.end()

    def _set_rpc_status(self, system: RpcSystem, outcome: Outcome) -> None:
        if system is RpcSystem.GRPC:
            self._span.set_attribute("rpc.grpc.status_code", int(outcome))
        elif outcome is not Outcome.OK:
            self._span.set_attribute("rpc.connect_rpc.error_code", outcome.name.lower())
        if outcome in _FAULTS:
            self._span.set_status(trace.StatusCode.ERROR)

    def _set_http_status(self, status: int | None) -> None:
        if status is None:
            return  # the client has left before the response
        self._span.set_attribute("http.response.status_code", status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(trace.StatusCode.ERROR)

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
        self._facts: dict[tuple[str, RpcSystem], dict[str, str]] = {}

    def begin(
        self, method: str, metadata: Mapping[str, str], via: RpcSystem | HttpRequest
    ) -> CallSpan:
        """Begin a span. The metadata may name the client's span, which is its parent."""
        started_ns = time.time_ns()
        if isinstance(via, HttpRequest):
            name, facts = f"{via.method} {via.route}", _http_facts(via)
        else:
            facts = self._rpc_facts(method, via)
            name = f"{facts['rpc.service']}/{method}"
        context = Context()
        if not self._propagator.fields.isdisjoint(metadata):
            context = self._propagator.extract(metadata, context)
        span = self._tracer.start_span(
            name,
            context=context,
            kind=trace.SpanKind.SERVER,
            attributes=facts,
            start_time=started_ns,
        )
        return CallSpan(self._tracer, span, via, started_ns)

    def _rpc_facts(self, method: str, system: RpcSystem) -> dict[str, str]:
        facts = self._facts.get((method, system))
        if facts is None:
            facts = self._facts[method, system] = {
                "rpc.system": system.value,
                "rpc.service": self._others.get(method, self._service),
                "rpc.method": method,
            }
        return facts

    def close(self) -> None:
        """Send what has not been sent. Block for as long as the exporters take."""
        self._provider.shutdown()


def _http_facts(request: HttpRequest) -> dict[str, str]:
    return {
        "http.request.method": request.method,
        "http.route": request.route,
        "url.path": request.path,
        "url.scheme": request.scheme,
    }


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
