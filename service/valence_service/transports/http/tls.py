"""The certificate of the HTTP port, followed as its files change."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valence_service.transports.tls import Certificates

LOOK_SECONDS = 1.0


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """Return a context with the certificate. Raise BadCertificate."""
    certificates.read()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    if certificates.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    _load(context, certificates)
    return context


async def follow(context: ssl.SSLContext, certificates: Certificates) -> None:
    """Load the certificate again whenever its files have changed: later handshakes show it."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if certificates.read_changed():
            _load(context, certificates)


def _load(context: ssl.SSLContext, certificates: Certificates) -> None:
    context.load_cert_chain(certificates.certificate, certificates.key)
    if certificates.client_ca:
        context.load_verify_locations(certificates.client_ca)
