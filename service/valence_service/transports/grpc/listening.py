"""The address of a server, in plaintext or with TLS."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import grpc

from valence_service.transports.transport import CannotListen
from valence_service.transports.unix_socket import PREFIX, owners_socket, socket_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from valence_service.transports.tls import Certificates, Pem


def listen(
    server: grpc.aio.Server, host: str, port: int, certificates: Certificates | None = None
) -> str:
    """Take the address, in plaintext without certificates; return it with the port taken.

    Raise CannotListen, or BadCertificate for files that are none.
    """
    if (path := socket_path(host)) is not None:
        address = f"{PREFIX}{path}"
        with owners_socket(path):
            _take(server, address, certificates, lambda: _why_no_socket(path))
        return address
    bracketed = f"[{host}]" if ":" in host else host
    address = f"{bracketed}:{port}"
    taken = _take(server, address, certificates, lambda: _why_not(host, port))
    return f"{bracketed}:{taken}"


def _take(
    server: grpc.aio.Server,
    address: str,
    certificates: Certificates | None,
    why_not: Callable[[], str],
) -> int:
    try:
        if certificates:
            return server.add_secure_port(address, _credentials(certificates))
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise CannotListen(f"cannot listen on {address}: {why_not()}") from error


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Return credentials that follow the files: each handshake looks whether they have changed."""

    def changed() -> grpc.ServerCertificateConfiguration | None:
        pem = certificates.read_changed()
        return _configuration(pem) if pem else None

    return grpc.dynamic_ssl_server_credentials(
        _configuration(certificates.read()),
        changed,  # type: ignore[arg-type]  # None is allowed, and means: as before
        require_client_authentication=certificates.client_ca is not None,
    )


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pem.key, pem.certificate)], root_certificates=pem.client_ca
    )


def _why_no_socket(path: Path) -> str:
    """Return the system's reason, as below."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        path.unlink()
    except OSError as error:
        return f"{(error.strerror or str(error)).lower()}; choose another with --host"
    return "try again, or choose another with --host"


def _why_not(host: str, port: int) -> str:
    """Return the system's reason: gRPC says only that it failed."""
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
