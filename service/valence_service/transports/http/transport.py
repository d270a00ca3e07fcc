"""The HTTP transport: uvicorn in the service's own event loop."""

from __future__ import annotations

import asyncio
import math
import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING

import uvicorn

from valence_service.transports.http.app import LoggedErrors, make_app
from valence_service.transports.http.bodies import Bodies
from valence_service.transports.http.calls import Gate
from valence_service.transports.http.protocol import BoundedProtocol
from valence_service.transports.http.tls import server_context
from valence_service.transports.transport import CannotListen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from valence_service.core.call import Telemetry
    from valence_service.core.limits import Limits
    from valence_service.core.readiness import Readiness
    from valence_service.serving.service import SentimentService
    from valence_service.transports.auth import Authenticator
    from valence_service.transports.tls import Certificates

BACKLOG = 2048
LEAST_BODY_BYTES = 1 << 20
MOST_BODY_BYTES = 2**31 - 1
FOR_EVER_SECONDS = 10 * 365 * 86400


class HttpTransport:
    """Carries a service over HTTP. Belongs to one event loop."""

    def __init__(
        self,
        service: SentimentService,
        readiness: Readiness,
        telemetry: Telemetry,
        *,
        authenticator: Authenticator | None = None,
        origins: Sequence[str] = (),
        public_health: bool = True,
        idle_seconds: float = 900.0,
        shares_port: bool = False,
    ) -> None:
        self._bodies = Bodies(_max_body_bytes(service.limits))
        gate = Gate(telemetry, authenticator, self._bodies)
        self._config = uvicorn.Config(
            LoggedErrors(
                make_app(service, readiness, gate, origins=origins, public_health=public_health)
            ),
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            # It would log what strangers can bring about at will; LoggedErrors logs the rest.
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=math.ceil(idle_seconds) or FOR_EVER_SECONDS,
        )
        self._server = _Server(self._config)
        self._shares_port = shares_port
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None

    def listen(self, host: str, port: int, certificates: Certificates | None = None) -> str:
        """Take the address and return it, with the port taken.

        Raise CannotListen, or BadCertificate for files that are none.
        """
        bracketed = f"[{host}]" if ":" in host else host
        if certificates:
            context = server_context(certificates)
            self._config.ssl_context_factory = lambda _, __: context
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            both = host == "::" and socket.has_dualstack_ipv6()
            self._socket = socket.create_server(
                (host, port),
                family=family,
                backlog=BACKLOG,
                reuse_port=self._shares_port,
                dualstack_ipv6=both,
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CannotListen(
                f"cannot listen on {bracketed}:{port} for HTTP: {reason}; choose another with "
                "--http-port or --http-host"
            ) from error
        return f"{bracketed}:{self._socket.getsockname()[1]}"

    async def start(self) -> None:
        """Take connections."""
        if self._socket is None:
            raise RuntimeError("listen comes before start")
        self._serving = asyncio.create_task(self._server.serve([self._socket]))

    def end_idle(self) -> None:
        """End what clients leave open, such as a call whose body never comes."""
        self._bodies.end()

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls; cut off those that have not ended within the grace."""
        if self._serving is None:
            return
        # uvicorn rounds nothing, and takes 0 for no time at all.
        self._config.timeout_graceful_shutdown = grace_seconds  # type: ignore[assignment]
        self._server.should_exit = True
        await asyncio.gather(self._serving, return_exceptions=True)


class _Server(uvicorn.Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Leave the signals to the lifecycle."""
        return nullcontext()


def _max_body_bytes(limits: Limits) -> int:
    """Return a size above every request within the limits, unless most of it is escapes."""
    largest_batch = 2 * limits.max_batch_texts * (limits.max_text_bytes + 16)
    largest_document = 2 * limits.max_document_bytes
    return min(MOST_BODY_BYTES, max(LEAST_BODY_BYTES, largest_batch, largest_document))
