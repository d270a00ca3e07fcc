"""Load reports (ORCA): clients and proxies that weigh servers by them call where there is room.

Each unary answer, and each error but that of a missing token, carries the last report;
xds.service.orca.v3.OpenRcaService streams it: the trailers of a stream come only at its end. The
messages are a few numbers, encoded here: the package that has them, xds-protos, writes over files
of OpenTelemetry's.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from valence_service.core.errors import Draining, MalformedMessage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from valence_service.core.readiness import Readiness

    Context = grpc.aio.ServicerContext[Any, Any]

TRAILER = "endpoint-load-metrics-bin"
SERVICE_NAME = "xds.service.orca.v3.OpenRcaService"
PERIOD_SECONDS = 0.1
# The weight of the newest value. A tenth of an older one is left after two seconds.
NEWEST = 0.1
LEAST_INTERVAL_SECONDS = 1.0
# Told by a server that does not serve. Its refusals are many and quick, and would look like room;
# of 0, balancers make nothing.
LEAST_REQUESTS_PER_SECOND = 1e-3


class LoadReports:
    """The report of the last tenth of a second. Belongs to one event loop."""

    def __init__(self, utilization: Callable[[], float], readiness: Readiness) -> None:
        self._utilization_now = utilization
        self._readiness = readiness
        self._utilization = 0.0
        self._requests_per_second = 0.0
        self._requests = 0
        self._timer: asyncio.TimerHandle | None = None
        self.report = b""
        """An xds.data.orca.v3.OrcaLoadReport."""
        self.trailers: tuple[tuple[str, bytes], ...] = ()
        """What a call's trailing metadata takes; empty before the first report."""

    def start(self) -> None:
        """Make a report ten times a second from now on."""
        self._timer = asyncio.get_running_loop().call_later(PERIOD_SECONDS, self.start)
        newest = self._requests / PERIOD_SECONDS
        self._requests = 0
        self._requests_per_second += NEWEST * (newest - self._requests_per_second)
        self._utilization += NEWEST * (self._utilization_now() - self._utilization)
        if self._readiness.serving:
            self.report = encode(self._utilization, self._requests_per_second)
        else:
            self.report = encode(1.0, LEAST_REQUESTS_PER_SECOND)
        self.trailers = ((TRAILER, self.report),)

    def stop(self) -> None:
        """Make no more reports."""
        if self._timer:
            self._timer.cancel()

    def count(self) -> None:
        """Count a call of one message."""
        self._requests += 1

    def handlers(self, read: Callable[[Context, str], Awaitable[Any]]) -> dict[str, Any]:
        """Return the handlers of OpenRcaService by method; read awaits a call's message."""

        async def stream(_: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            try:
                interval = _interval_seconds(await read(context, "OrcaLoadReport"))
            except MalformedMessage as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except Draining as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            while not self._readiness.ending:
                changed = self._readiness.changed
                yield self.report
                with suppress(TimeoutError):
                    async with asyncio.timeout(interval):
                        await changed.wait()

        return {"StreamCoreMetrics": grpc.stream_stream_rpc_method_handler(stream)}


def encode(utilization: float, requests_per_second: float) -> bytes:
    """Return an OrcaLoadReport: field 6 is rps_fractional, field 9 application_utilization."""
    return struct.pack("<BdBd", 6 << 3 | 1, requests_per_second, 9 << 3 | 1, utilization)


def _interval_seconds(request: bytes) -> float:
    """Return the report_interval of an OrcaLoadReportRequest: its field 1, a Duration."""
    if request[:1] != b"\x0a":
        return LEAST_INTERVAL_SECONDS
    try:
        interval = Duration.FromString(request[2 : 2 + request[1]])
    except (DecodeError, IndexError):
        raise MalformedMessage("the bytes are not an OrcaLoadReportRequest") from None
    return max(LEAST_INTERVAL_SECONDS, interval.seconds + interval.nanos / 1e9)
