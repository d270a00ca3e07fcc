"""grpc.health.v1: Check, Watch and List.

grpcio's own servicer says SERVING at birth, has no List, and writes to a watcher under a lock, so
that a watcher that does not read could hold up a change for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2

from valence_service.core.errors import Draining, MalformedMessage
from valence_service.transports.grpc.calls import reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from valence_service.core.readiness import Readiness
    from valence_service.transports.grpc.calls import Reads

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_STATUS = health_pb2.HealthCheckResponse


class HealthServicer:
    """One status for the server as a whole (``""``) and for each service it names."""

    def __init__(self, readiness: Readiness, reads: Reads, *services: str) -> None:
        self._readiness = readiness
        self._reads = reads
        self._services = ("", *services)

    async def check(self, _: AsyncIterator[Any], context: Context) -> Any:
        """Say the status of a service; NOT_FOUND where it is unknown."""
        request = await self._request(context)
        if request.service not in self._services:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"service: {request.service!r} is not served here"
            )
        return _STATUS(status=self._status)

    async def list(self, _: AsyncIterator[Any], context: Context) -> bytes:
        """Say the status of each service: a HealthListResponse, whose field 1 is a map.

        Written here: the grpcio that is safe to use (docs/decisions) has no message for it.
        """
        await self._request(context)
        status = _STATUS(status=self._status).SerializeToString()
        return b"".join(
            _field(1, _field(1, service.encode()) + _field(2, status)) for service in self._services
        )

    async def watch(self, _: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        """Say the status of a service now, and at each change."""
        request = await self._request(context)
        known = request.service in self._services
        last = None
        while not self._readiness.ending:
            changed = self._readiness.changed
            status = self._status if known else _STATUS.SERVICE_UNKNOWN
            if status != last:
                yield _STATUS(status=status)
                last = status
            await changed.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is ending")

    def handlers(self) -> dict[str, Any]:
        """Return the handlers by method, as calls of many messages: see ``calls``."""
        read = reader(health_pb2.HealthCheckRequest)
        write = _STATUS.SerializeToString
        return {
            "Check": grpc.stream_unary_rpc_method_handler(self.check, read, write),
            "List": grpc.stream_unary_rpc_method_handler(self.list),
            "Watch": grpc.stream_stream_rpc_method_handler(self.watch, read, write),
        }

    @property
    def _status(self) -> Any:
        return _STATUS.SERVING if self._readiness.serving else _STATUS.NOT_SERVING

    async def _request(self, context: Context) -> Any:
        try:
            return await self._reads.only(context, "HealthCheck")
        except MalformedMessage as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Draining as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))


def _field(number: int, value: bytes) -> bytes:
    """Encode a field of a protobuf message; value has less than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value
