"""Where Prometheus scrapes: HTTP in threads of its own, so that the event loop does not wait."""

from __future__ import annotations

import socket
import threading
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# A peer that connects and does not ask, or does not read, holds a thread no longer than this.
PEER_SECONDS = 10.0
log = structlog.get_logger()


class CannotServe(Exception):
    """The address cannot be listened on; the message says why and what to do."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer's asks the name service for this machine's name, and waits for it.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log no traceback for a peer that says nothing or vanishes."""
        log.debug("metrics", peer=str(client_address), exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = PEER_SECONDS

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002  the base's name
        """Log nothing: a scrape is no event."""


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> str:
    """Serve the registry for as long as the process lives; return the address taken.

    Raise CannotServe.
    """
    bracketed = f"[{host}]" if ":" in host else host
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        server_class = type("Server", (_Server,), {"address_family": family})
        server: _Server = server_class(address[:2], _Handler)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CannotServe(
            f"cannot listen on {bracketed}:{port} for metrics: {reason}; "
            "choose another with --metrics-port or --metrics-host"
        ) from error
    server.set_app(make_wsgi_app(registry))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return f"{bracketed}:{server.server_port}"
