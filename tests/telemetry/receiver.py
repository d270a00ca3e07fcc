"""Takes spans by OTLP over HTTP, as a backend does, and keeps them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

GUARD_SECONDS = 30


class Spans:
    """What has arrived."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.services: set[str] = set()
        self._spans: list[Span] = []
        self._arrived = threading.Condition()

    def add(self, request: ExportTraceServiceRequest) -> None:
        with self._arrived:
            for resource in request.resource_spans:
                self.services |= {
                    item.value.string_value
                    for item in resource.resource.attributes
                    if item.key == "service.name"
                }
                self._spans += [span for scope in resource.scope_spans for span in scope.spans]
            self._arrived.notify_all()

    def of(self, trace_id: str) -> list[Span]:
        return [span for span in self._spans if span.trace_id.hex() == trace_id]

    def when(self, enough: Callable[[list[Span]], object], trace_id: str = "") -> list[Span]:
        """The spans (of a trace), once they are enough."""

        def chosen() -> list[Span]:
            return self.of(trace_id) if trace_id else list(self._spans)

        with self._arrived:
            arrived = self._arrived.wait_for(lambda: enough(chosen()), GUARD_SECONDS)
            assert arrived, f"after {GUARD_SECONDS} s: {[span.name for span in chosen()]}"
            return chosen()


@contextmanager
def receiving() -> Iterator[Spans]:
    """A receiver at ``endpoint``."""
    spans = Spans()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            spans.add(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """A test reads what has arrived, not a log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        spans.endpoint = f"http://127.0.0.1:{server.server_port}"
        yield spans
        server.shutdown()
        thread.join()


def attributes(span: Span) -> dict[str, Any]:
    return {
        item.key: getattr(item.value, str(item.value.WhichOneof("value")))
        for item in span.attributes
    }
