"""Imports and starts the telemetry that is configured, and no more."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from valence_service.telemetry.traces import Traces

log = structlog.get_logger()


def read_trace_exporters() -> list[str]:
    """Return the exporters that OpenTelemetry's variables name, by their names in Python.

    There are none unless the variables name one. The SDK reads the other variables (endpoint,
    sampling) by itself.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    endpoint = _first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    asked = _first("OTEL_TRACES_EXPORTER") or ("otlp" if endpoint else "none")
    protocol = _first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp = {"": "otlp_proto_http", "http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
    names = [name.strip() for name in asked.split(",")]
    return [
        otlp.get(protocol, f"otlp {protocol}") if name == "otlp" else name
        for name in names
        if name not in ("", "none")
    ]


def _first(*names: str) -> str:
    """Return the value of the first of these variables that is set."""
    return next(filter(None, (os.environ.get(name, "").strip() for name in names)), "")


def start_traces(
    service: str, exporters: Sequence[str], others: Mapping[str, str] | None = None
) -> Traces | None:
    """Return traces by these exporters; None, and a log line, where none works.

    ``others`` has the service of each method that is not of ``service``.
    """
    if not exporters:
        return None
    try:
        from valence_service.telemetry.traces import Traces

        traces = Traces(service, exporters, others or {})
    except ModuleNotFoundError as error:
        log.warning(
            "traces",
            exported=False,
            reason=f"the OTEL_ variables ask for traces, and {error.name} is not installed",
            hint="pip install 'valence-service[telemetry]'",
        )
        return None
    except Exception as error:  # of the SDK or an exporter, over what the variables say
        log.warning(
            "traces",
            exported=False,
            reason=str(error) or repr(error),
            hint="correct the OTEL_ variables",
        )
        return None
    log.info("traces", exported=True, exporters=list(exporters))
    return traces


async def send_rest(traces: Traces, seconds: float) -> None:
    """Send the remaining spans, for so many seconds at most."""
    # A pool of its own: asyncio would wait for its default one.
    pool = ThreadPoolExecutor(1, thread_name_prefix="traces")
    sent = asyncio.get_running_loop().run_in_executor(pool, traces.close)
    done, _ = await asyncio.wait([sent], timeout=seconds)
    pool.shutdown(wait=False)
    if not done:
        log.warning("traces", sent=False, reason=f"not sent in the {seconds:.1f} s that were left")
    elif error := sent.exception():
        log.warning("traces", sent=False, reason=str(error) or repr(error))
