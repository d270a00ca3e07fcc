"""The health of a fake service, which clients watch: grpc.health.v1, always SERVING."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

# HealthCheckResponse(status=SERVING). One message is not worth a dependency.
SERVING = b"\x08\x01"


def health_handler() -> grpc.GenericRpcHandler:
    """Return the handler of Check and Watch, for a server of threads."""
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Check": grpc.unary_unary_rpc_method_handler(lambda request, context: SERVING),
        "Watch": grpc.unary_stream_rpc_method_handler(_watch),
    }
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers)


def _watch(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """Yield SERVING once, then wait until the watcher leaves."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        yield SERVING
        gone.wait()
