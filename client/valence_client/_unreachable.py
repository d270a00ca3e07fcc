"""Say why no connection came about, and what to do.

gRPC reports a failed connection only in words, and they differ between its releases: a row of the
table matches those of grpcio 1.71 and of 1.83. A connection that no row knows has gRPC's own words
beside "no server answers".
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_TLS, _PLAINTEXT = True, False
_REFUSED = "Connection refused"
# gRPC reads the first of these that is set.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom a channel connects to."""

    address: str
    """As messages show it."""
    tls: bool


@dataclass(frozen=True, slots=True)
class _Proxy:
    variable: str
    host: str
    port: int

    def is_in(self, said: str, address: str) -> bool:
        """Return whether gRPC's words are about this proxy, and not about the server."""
        if f"{self.host}:{self.port}" in said:
            return True
        return not address.endswith(f":{self.port}") and bool(re.search(rf":{self.port}\b", said))


@dataclass(frozen=True, slots=True)
class _Cause:
    words: str
    """A pattern of what gRPC says."""
    message: str
    tls: bool | None = None
    """Whether it holds for connections with TLS only, or without only."""


# The first cause that matches holds.
_TLS_CAUSES = (
    _Cause(
        "WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL",
        "{address} does not speak TLS: connect without tls=True, or start the server with "
        "--tls-certificate and --tls-key",
    ),
    _Cause("certificate has expired", "the certificate of {address} has expired: renew it"),
    _Cause(
        "certificate is not yet valid",
        "the certificate of {address} is not yet valid: check the clocks of both machines",
    ),
    _Cause(
        "CERTIFICATE_VERIFY_FAILED",
        "the certificate of {address} is signed by no authority that is trusted here: give the "
        "authority's certificate, or the server's if it has signed itself, in root_certificates",
    ),
    _Cause(
        "Hostname Verification Check failed|is not in peer certificate",
        "the certificate of {address} is for another name: connect to the name that it has, or "
        "give that name in server_name",
    ),
    _Cause(
        "missing selected ALPN",
        "{address} speaks TLS but not HTTP/2, which gRPC needs: check the port, and a proxy before "
        "the server",
    ),
    _Cause(
        "Failed to create security handshaker",
        "the certificates for {address} cannot be used: check that root_certificates, "
        "client_certificate and client_key are PEM, and that the key belongs to the certificate",
    ),
    _Cause(
        "_ALERT_",
        "{address} refused the TLS handshake: check client_certificate and client_key; the "
        "server's log has its reason",
    ),
)
_PROXY_CAUSES = (
    _Cause(
        "HTTP proxy returned response code 407",
        "the proxy {proxy} asks for a user: put user and password into {variable}, as "
        "http://user:password@{proxy}, or put the server's host into no_proxy",
    ),
    _Cause(
        r"HTTP proxy returned response code (\d+)",
        "the proxy {proxy} does not connect to {address} (HTTP status {0}): allow it there, or put "
        "the server's host into no_proxy",
    ),
    _Cause(
        "",
        "no connection through the proxy {proxy}: correct {variable}, or put the server's host "
        "into no_proxy",
    ),
)
_SERVER_CAUSES = (
    _Cause(
        "errors resolving|DNS resolution failed",
        "the host of {address} is unknown: check the name, and this machine's DNS",
    ),
    _Cause(
        r"http1\.x server|Failed parsing HTTP/2", "{address} does not speak gRPC: check the port"
    ),
    _Cause(
        "before receiving SETTINGS",
        "{address} accepts connections and says nothing: check the port, and whether the server "
        "hangs",
    ),
    _Cause(
        "Handshake read failed",
        "{address} does not answer the TLS handshake: check the port, or connect without tls=True",
    ),
    _Cause(
        "Socket closed|Connection reset|Broken pipe",
        "{address} closes the connection: if it expects TLS, give tls=True",
        _PLAINTEXT,
    ),
    _Cause(
        "Socket closed|Connection reset|Broken pipe",
        "{address} closes the connection after the TLS handshake: it may require another "
        "client_certificate and client_key; the server's log has its reason",
        _TLS,
    ),
    _Cause(
        "No such file or directory",
        "no server listens on {address}: start one, or check the path",
    ),
    _Cause("Permission denied", "this user must not connect to {address}: check the file's mode"),
    _Cause(
        "unreachable|No route to host",
        "this machine has no route to {address}: check the address and the network",
    ),
    _Cause(
        "Timeout occurred|timed out",
        "{address} does not answer: check the address, and firewalls on the way",
    ),
)
# Of a connection that was there.
_BROKEN_CAUSES = (
    _Cause(
        "too_many_pings|Too many pings",
        "{address} disconnects clients that ping so often: raise grpc.keepalive_time_ms in "
        "channel_options",
    ),
    _Cause(
        "Socket closed|recvmsg|sendmsg|Connection reset|Broken pipe|keepalive|ping timeout",
        "the connection to {address} broke before the answer came: try again",
    ),
    _Cause("RST_STREAM", "{address} cut the call off: the server behind it may be gone"),
)
_ELSE = _Cause("", "no server answers at {address}: start one, or check the address")


def says_more(said: str, later: str) -> bool:
    """Return whether gRPC's words say more of a failed connection than those of a later attempt.

    gRPC tells the failure of one address. A name may have another that refuses, as "localhost" has
    if the server listens on 127.0.0.1 only.
    """
    return "last error: " in said and _REFUSED not in said and _REFUSED in later


def why(said: str, peer: Peer) -> str:
    """Return why there is no connection, from the details of gRPC's status."""
    connecting, _, last = said.rpartition("last error: ")
    if not connecting and not re.match("errors resolving|DNS resolution failed", said):
        return _found(_BROKEN_CAUSES, said, peer) or _worded(_ELSE, (), peer, last)
    last = re.sub(r"^[A-Z_]+: ", "", last)
    proxy = _proxy()
    message = _found(_TLS_CAUSES, last, peer)
    if message is None and proxy is not None and proxy.is_in(last, peer.address):
        message = _found(_PROXY_CAUSES, last, peer, proxy)
    return message or _found(_SERVER_CAUSES, last, peer) or _worded(_ELSE, (), peer, last)


def _found(
    causes: tuple[_Cause, ...], said: str, peer: Peer, proxy: _Proxy | None = None
) -> str | None:
    for cause in causes:
        match = re.search(cause.words, said)
        if match and cause.tls in (None, peer.tls):
            return _worded(cause, match.groups(), peer, said, proxy)
    return None


def _worded(
    cause: _Cause, parts: tuple[str, ...], peer: Peer, said: str, proxy: _Proxy | None = None
) -> str:
    message = cause.message.format(
        *parts,
        address=peer.address,
        proxy=f"{proxy.host}:{proxy.port}" if proxy else "",
        variable=proxy.variable if proxy else "",
    )
    return f"{message} ({said})"


def _proxy() -> _Proxy | None:
    """Return the proxy that gRPC reads from the environment, without its password."""
    variable = next((name for name in _PROXY_VARIABLES if os.environ.get(name)), None)
    if variable is None:
        return None
    try:
        parts = urlsplit(os.environ[variable])
        port = parts.port or 443
    except ValueError:
        return None
    return _Proxy(variable, parts.hostname, port) if parts.hostname else None
