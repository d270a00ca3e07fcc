"""The grpc.aio server: its options, its services, its address."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from valence.v1 import sentiment_pb2_grpc

from valence_service.rpc import health, observe

if TYPE_CHECKING:
    from valence_service.sentiment import Limits

# v1 of the reflection protocol is v1alpha under another name; grpcio ships only the latter.
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
LEAST_MESSAGE_BYTES = 16 << 20


class CannotListen(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def build_server(
    sentiment: sentiment_pb2_grpc.SentimentServiceServicer,
    health_servicer: health.HealthServicer,
    limits: Limits,
) -> grpc.aio.Server:
    """A server of the contract, health and reflection, not yet listening."""
    # Well above every batch within the limits, so that what is too large is refused by name; grpc
    # itself names nothing, and ends a stream.
    largest_batch = 2 * limits.max_batch_texts * (limits.max_text_bytes + 16)
    server = grpc.aio.server(
        interceptors=[observe.Observe()],
        options=[
            # Else a second server on the port would be handed half of the connections.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", max(LEAST_MESSAGE_BYTES, largest_batch)),
            # What a stream may send ahead of being read. Left to itself grpc raises it to
            # megabytes a stream; this is enough for a full batch on a slow line to arrive soon.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", 512 << 10),
            # Clients may keep idle connections alive, as proxies forget those that are silent.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ],
    )
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(sentiment, server)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    names = (observe.SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME, REFLECTION_V1)
    reflection.enable_server_reflection(names, server)
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(REFLECTION_V1, {"ServerReflectionInfo": handler}),)
    )
    return server


def listen(server: grpc.aio.Server, host: str, port: int) -> str:
    """Take the address, in plaintext; returns it with the port taken. Raises CannotListen."""
    bracketed = f"[{host}]" if ":" in host else host
    try:
        taken = server.add_insecure_port(f"{bracketed}:{port}")
    except RuntimeError as error:
        raise CannotListen(
            f"cannot listen on {bracketed}:{port}: {_why_not(host, port)}"
        ) from error
    return f"{bracketed}:{taken}"


def _why_not(host: str, port: int) -> str:
    """Grpc says only that it failed; the system says why."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
            probe.listen()
    except socket.gaierror:
        return "the host is unknown; choose another with --host"
    except PermissionError:
        return "no permission for this port; choose one above 1023 with --port"
    except OSError as error:
        return f"{(error.strerror or str(error)).lower()}; choose another with --port or --host"
    return "try again, or choose another with --port"
