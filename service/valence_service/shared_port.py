"""A port that several processes of this server listen on, and no other server."""

from __future__ import annotations

import socket

from valence_service.transports.transport import CannotListen


def take_port(host: str, port: int, *, flag: str) -> socket.socket:
    """Return a socket that holds the port and takes no connections; 0 takes a free one.

    Close it when the processes have ended. Raise CannotListen.
    """
    bracketed = f"[{host}]" if ":" in host else host
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if port:
            # Shared, it could be taken while another server of several processes has it.
            with socket.socket(family, kind, protocol) as alone:
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind(address)
        held = socket.socket(family, kind, protocol)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CannotListen(
            f"cannot listen on {bracketed}:{port}: {reason}; choose another with {flag}"
        ) from error
    return held
