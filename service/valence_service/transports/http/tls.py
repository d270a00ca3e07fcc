"""The certificate of the HTTP port, followed as its files change."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from valence_service.transports.tls import Certificates

log = structlog.get_logger()


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """Return a context whose handshakes show the certificate of the files. Raise BadCertificate."""
    certificates.read()
    current = _context(certificates)
    outer = _context(certificates)

    def choose(handshake: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """Show the certificate of the files; a new context forgets the authority of the old one."""
        nonlocal current
        if certificates.read_changed():
            try:
                current = _context(certificates)
            except (OSError, ssl.SSLError) as error:
                log.warning("certificate", read=False, reason=str(error), hint="the old one serves")
        handshake.context = current

    outer.sni_callback = choose
    return outer


def _context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    # Without the password it would ask the terminal for that of an encrypted key.
    context.load_cert_chain(certificates.certificate, certificates.key, password=lambda: b"")
    if certificates.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.client_ca)
    return context
