"""The hosts that a server may listen on."""

from __future__ import annotations

import ipaddress

from valence_service.transports.unix_socket import socket_path


def checked_host(text: str) -> str:
    """Return a name, an IP address or ``unix:PATH``. Raise ValueError."""
    return text if socket_path(text) else checked_name(text)


def checked_name(text: str) -> str:
    """Return a name, or an IP address without the brackets of ``[::1]``. Raise ValueError."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != text or not host.isprintable() or set(host) & set(" :/[]"):
            raise ValueError(
                "give a name or an IP address; the port has a flag of its own"
            ) from None
    return host


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect."""
    if socket_path(host):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
