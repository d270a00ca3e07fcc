"""The gRPC transport: a grpc.aio server of the contract, health, reflection and other services."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from valence.v1 import sentiment_pb2 as pb

from valence_service.transports.contract import SERVICE_NAME
from valence_service.transports.grpc import health, load_reports, reflection
from valence_service.transports.grpc.authentication import Authentication
from valence_service.transports.grpc.calls import Reads, Wrapper
from valence_service.transports.grpc.listening import listen
from valence_service.transports.grpc.load_reports import LoadReports
from valence_service.transports.grpc.servicer import SentimentServicer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.core.call import Telemetry
    from valence_service.core.limits import Limits
    from valence_service.core.readiness import Readiness
    from valence_service.serving.service import SentimentService
    from valence_service.transports.auth import Authenticator
    from valence_service.transports.tls import Certificates
    from valence_service.transports.unary import UnaryMethod, UnaryService

HEALTH_METHODS = f"/{health.SERVICE_NAME}/"
LOAD_METHODS = f"/{load_reports.SERVICE_NAME}/"
REFLECTION_METHODS = "/grpc.reflection."
LEAST_MESSAGE_BYTES = 16 << 20
MOST_MESSAGE_BYTES = 2**31 - 1  # the largest number that gRPC takes
MAX_METADATA_BYTES = 16 << 10
MAX_PENDING_CALLS = 20_000
HANDSHAKE_MILLISECONDS = 10_000
_FOR_EVER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may do."""

    max_calls: int = 1000
    """At once; more wait at the client."""
    idle_seconds: float = 900.0
    """Without a call, until it is closed; 0 is never."""
    age_seconds: float = 3600.0
    """Until it is closed to new calls, and the client opens another; 0 is never."""


class GrpcTransport:
    """Carries a service over gRPC. Belongs to one event loop.

    ``services`` are what it carries beside the contract, wrapped in the same code. Several
    processes may listen on one address where each ``shares_port``.
    """

    def __init__(
        self,
        service: SentimentService,
        readiness: Readiness,
        connections: ConnectionLimits,
        telemetry: Telemetry,
        *,
        authenticator: Authenticator | None = None,
        public_health: bool = True,
        public_reflection: bool = False,
        services: Sequence[UnaryService] = (),
        shares_port: bool = False,
    ) -> None:
        self._reads = Reads()
        interceptors = []
        if authenticator:
            public = [REFLECTION_METHODS] if public_reflection else []
            if public_health:
                public += [HEALTH_METHODS, LOAD_METHODS, *_health_paths(services)]
            interceptors.append(Authentication(authenticator, tuple(public), telemetry, services))
        self._server = grpc.aio.server(
            interceptors=interceptors,
            options=[
                # Else a second server on the port would get half of the connections.
                ("grpc.so_reuseport", int(shares_port)),
                *_options(service.limits, connections),
            ],
        )
        self._loads = LoadReports(lambda: service.utilization, readiness)
        wrapper = Wrapper(telemetry, self._reads, self._loads)
        self._add(SERVICE_NAME, _contract(service, wrapper))
        for added in services:
            self._add(added.name, _handlers(added.methods, wrapper))
        names = (SERVICE_NAME, *(added.name for added in services))
        servicer = health.HealthServicer(readiness, self._reads, *names)
        self._add(health.SERVICE_NAME, servicer.handlers())
        self._add(load_reports.SERVICE_NAME, self._loads.handlers(self._reads.only))
        described = reflection.handlers(
            self._reads, (*names, health.SERVICE_NAME), [added.file for added in services]
        )
        for name in reflection.SERVICE_NAMES:
            self._add(name, described)

    def listen(self, host: str, port: int, certificates: Certificates | None = None) -> str:
        """Take the address and return it, with the port taken. Raise CannotListen."""
        return listen(self._server, host, port, certificates)

    async def start(self) -> None:
        """Take connections."""
        self._loads.start()
        await self._server.start()

    def end_idle(self) -> None:
        """End what clients leave open, such as a call whose message never comes."""
        self._reads.end()

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls; cut off those that have not ended within the grace."""
        await self._server.stop(grace_seconds)
        self._loads.stop()

    def _add(self, service: str, handlers: dict[str, Any]) -> None:
        """Add methods to be found by name.

        Some releases of grpcio also register the methods of generated code, and then wait for each
        of them anew at every call.
        """
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, handlers),)
        )


def _health_paths(services: Sequence[UnaryService]) -> list[str]:
    return [
        service.path(method)
        for service in services
        for method in service.methods
        if method.is_health
    ]


def _handlers(methods: Sequence[UnaryMethod], wrapper: Wrapper) -> dict[str, Any]:
    """Return the wrapped handlers of methods."""
    return {
        method.name: wrapper.unary(
            method.name, method.answer, method.request, method.response, admit=method.admit
        )
        for method in methods
    }


def _contract(service: SentimentService, wrapper: Wrapper) -> dict[str, Any]:
    """Return the wrapped handlers of the contract's methods."""
    servicer = SentimentServicer(service)
    stream = wrapper.stream(
        "StreamClassify",
        servicer.stream_classify,
        pb.StreamClassifyRequest,
        pb.StreamClassifyResponse,
    )
    return {**_handlers(servicer.describe(), wrapper), "StreamClassify": stream}


def _options(limits: Limits, connections: ConnectionLimits) -> list[tuple[str, int]]:
    # Well above every request within the limits, so that one that is too large gets an error that
    # names the limit; gRPC's own names nothing, and ends a stream.
    largest_batch = 2 * limits.max_batch_texts * (limits.max_text_bytes + 16)
    largest_request = max(largest_batch, 2 * limits.max_document_bytes)
    return [
        (
            "grpc.max_receive_message_length",
            min(MOST_MESSAGE_BYTES, max(LEAST_MESSAGE_BYTES, largest_request)),
        ),
        # Refusing may begin at the first, and must at the second.
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", connections.max_calls),
        # Else gRPC resets calls above that number, which its own clients begin before they know it.
        ("grpc.http.overload_protection", 0),
        # gRPC would end calls beyond a thousand that wait to begin, and say CANCELLED. The service
        # refuses them itself, and says when to try again.
        ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
        ("grpc.max_connection_idle_ms", _milliseconds(connections.idle_seconds)),
        ("grpc.max_connection_age_ms", _milliseconds(connections.age_seconds)),
        # A client that connects and says nothing is closed after this.
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MILLISECONDS),
        # What a stream may send ahead of being read. By itself gRPC raises it to megabytes a
        # stream; this is enough for a full batch on a slow line to arrive soon.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 512 << 10),
        # Clients may keep idle connections alive, as proxies forget silent ones. A client that
        # pings more often is disconnected.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 2),
    ]


def _milliseconds(seconds: float) -> int:
    """Return a time as gRPC takes it; its largest number is for ever."""
    return min(math.ceil(seconds * 1000), _FOR_EVER) if seconds else _FOR_EVER
