"""The grpc.aio server: its options, its services, its address."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from valence.v1 import sentiment_pb2_grpc

from valence_service.transports import auth, tls
from valence_service.transports.grpc import calls, health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from valence_service.core.limits import Limits
    from valence_service.transports.grpc.servicer import SentimentServicer

# v1 of the reflection protocol is v1alpha under another name; grpcio ships only the latter.
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
HEALTH_METHODS = f"/{health.SERVICE_NAME}/"
REFLECTION_METHODS = "/grpc.reflection."
LEAST_MESSAGE_BYTES = 16 << 20
MOST_MESSAGE_BYTES = 2**31 - 1  # what grpc can be told
MAX_METADATA_BYTES = 16 << 10
MAX_PENDING_CALLS = 20_000
HANDSHAKE_MILLISECONDS = 10_000


_FOR_EVER = 2**31 - 1


class CannotListen(Exception):
    """The address cannot be listened on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may do."""

    max_calls: int = 1000
    """At once; more wait at the caller."""
    idle_seconds: float = 900.0
    """Without a call, until it is closed; 0 is never."""
    age_seconds: float = 3600.0
    """Until it is closed to new calls, and the client opens another; 0 is never."""


def build_server(
    sentiment: SentimentServicer,
    health_servicer: health.HealthServicer,
    limits: Limits,
    connections: ConnectionLimits,
    authenticate: auth.Authenticate | None = None,
    *,
    telemetry: calls.Telemetry | None = None,
) -> grpc.aio.Server:
    """A server of the contract, health and reflection, not yet listening."""
    # Well above every batch within the limits, so that what is too large is refused by name; grpc
    # itself names nothing, and ends a stream.
    largest_batch = 2 * limits.max_batch_texts * (limits.max_text_bytes + 16)
    server = grpc.aio.server(
        interceptors=[authenticate] if authenticate else [],
        options=[
            # Else a second server on the port would be handed half of the connections.
            ("grpc.so_reuseport", 0),
            (
                "grpc.max_receive_message_length",
                min(MOST_MESSAGE_BYTES, max(LEAST_MESSAGE_BYTES, largest_batch)),
            ),
            # The first is where refusing may begin, the second where it must.
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.max_concurrent_streams", connections.max_calls),
            # grpc would end calls beyond a thousand that wait to begin, and say CANCELLED: they are
            # ours to refuse, and to tell when to come again.
            ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
            ("grpc.max_connection_idle_ms", _milliseconds(connections.idle_seconds)),
            ("grpc.max_connection_age_ms", _milliseconds(connections.age_seconds)),
            # Who connects and says nothing is not waited for.
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MILLISECONDS),
            # What a stream may send ahead of being read. Left to itself grpc raises it to
            # megabytes a stream; this is enough for a full batch on a slow line to arrive soon.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", 512 << 10),
            # Clients may keep idle connections alive, as proxies forget those that are silent.
            # Who pings more often is disconnected.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.http2.max_ping_strikes", 2),
        ],
    )
    # What a batch is refused for depends on its texts.
    admit = {"Classify": sentiment.admit}
    by_name: Any = _ByName(server, telemetry or calls.Telemetry(), admit)
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(sentiment, by_name)
    by_name.add_registered_method_handlers(health.SERVICE_NAME, health.handlers(health_servicer))
    # REFLECTION_V1 answers and is not listed: there is no description of it to give, and tools that
    # ask for that of all that is listed would stop at it.
    names = (calls.SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, by_name)
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(REFLECTION_V1, {"ServerReflectionInfo": handler}),)
    )
    return server


class _ByName:
    """Stands for a server to generated code, and takes its methods to be found by name.

    That is where the contract's are wrapped. Some releases of grpcio register methods besides, and
    then wait for each of them anew at every call.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        telemetry: calls.Telemetry,
        admit: Mapping[str, calls.Admit],
    ) -> None:
        self._server = server
        self._telemetry = telemetry
        self._admit = admit

    def add_generic_rpc_handlers(self, *_: object) -> None:
        """What follows has the same handlers, open to be wrapped."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Add them by name; the contract's are observed."""
        if service == calls.SERVICE_NAME:
            handlers = calls.observed(handlers, self._telemetry, self._admit)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, handlers),)
        )


def listen(
    server: grpc.aio.Server, host: str, port: int, certificates: tls.Certificates | None = None
) -> str:
    """Take the address, in plaintext without certificates; returns it with the port taken.

    Raises CannotListen.
    """
    bracketed = f"[{host}]" if ":" in host else host
    address = f"{bracketed}:{port}"
    try:
        if certificates:
            taken = server.add_secure_port(address, certificates.credentials())
        else:
            taken = server.add_insecure_port(address)
    except tls.BadCertificate as error:
        raise CannotListen(str(error)) from error
    except RuntimeError as error:
        raise CannotListen(f"cannot listen on {address}: {_why_not(host, port)}") from error
    return f"{bracketed}:{taken}"


def _milliseconds(seconds: float) -> int:
    """As grpc takes a time; its largest number is for ever."""
    return min(round(seconds * 1000), _FOR_EVER) if seconds else _FOR_EVER


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
