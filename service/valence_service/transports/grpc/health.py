"""grpc.health.v1: Check, Watch and List.

grpcio's own servicer says SERVING at birth, has no List, and writes to a watcher under a lock, so
that one who does not read could hold up a change for all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class HealthServicer:
    """One status for the server as a whole (``""``) and for each service it names."""

    def __init__(self, *services: str) -> None:
        self._services = ("", *services)
        self._status = health_pb2.HealthCheckResponse.NOT_SERVING
        self._changed = asyncio.Event()
        self._ended = False

    @property
    def serving(self) -> bool:
        """What was told last."""
        return bool(self._status == health_pb2.HealthCheckResponse.SERVING)

    def set(self, *, serving: bool) -> None:
        """Tell everyone, watchers too."""
        response = health_pb2.HealthCheckResponse
        self._status = response.SERVING if serving else response.NOT_SERVING
        self._tell()

    def end(self) -> None:
        """End the open watches: each would hold up the server's end."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        # Who waits keeps the old event, who comes finds the new one: no change is missed.
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The status of a service; NOT_FOUND where it is unknown."""
        if request.service not in self._services:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"service: {request.service!r} is not served here"
            )
        return health_pb2.HealthCheckResponse(status=self._status)

    async def List(self, request: bytes, context: Context) -> bytes:
        """The status of each service: a HealthListResponse, whose field 1 is a map.

        Written here: the grpcio that is safe to use (docs/decisions) has no message for it.
        """
        status = health_pb2.HealthCheckResponse(status=self._status).SerializeToString()
        return b"".join(
            _field(1, _field(1, service.encode()) + _field(2, status)) for service in self._services
        )

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status of a service now, and at each change."""
        known = request.service in self._services
        told = None
        while not self._ended:
            changed = self._changed
            status = self._status if known else health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
            await changed.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is ending")


def _field(number: int, value: bytes) -> bytes:
    """Of a protobuf message; value has less than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


def handlers(servicer: HealthServicer) -> dict[str, Any]:
    """Its methods by name."""
    read = health_pb2.HealthCheckRequest.FromString
    write = health_pb2.HealthCheckResponse.SerializeToString
    return {
        "Check": grpc.unary_unary_rpc_method_handler(servicer.Check, read, write),
        "List": grpc.unary_unary_rpc_method_handler(servicer.List),
        "Watch": grpc.unary_stream_rpc_method_handler(servicer.Watch, read, write),
    }
