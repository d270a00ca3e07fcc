"""A caller whose spans OpenTelemetry's own instrumentation makes: ``caller.py ADDRESS TEXT ...``.

A process of its own: the instrumentation takes the process's one tracer provider. Where to, and
its name, the OTEL_ variables say.
"""

from __future__ import annotations

import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from valence_client import Client


def main() -> None:
    """Ask for one text alone, for several in a batch."""
    address, *texts = sys.argv[1:]
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    GrpcInstrumentorClient().instrument()  # type: ignore[no-untyped-call]  # one that they left untyped
    with Client(address) as client:
        if len(texts) == 1:
            client.classify(*texts)
        else:
            client.classify_batch(texts)
    provider.shutdown()


if __name__ == "__main__":
    main()
