"""Imports and starts the telemetry that is configured, and no more."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.telemetry.traces import Traces

log = structlog.get_logger()


def start_traces(service: str, exporters: Sequence[str]) -> Traces | None:
    """Return traces by these exporters; None, and a log line, where none works."""
    if not exporters:
        return None
    try:
        from valence_service.telemetry.traces import Traces

        traces = Traces(service, exporters)
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
