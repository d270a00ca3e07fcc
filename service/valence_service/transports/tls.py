"""The server's certificate, read again when its files change: no restart, no call lost."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import structlog

from valence_service.transports.fingerprint import Fingerprint, fingerprint

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger()


class BadCertificate(Exception):
    """The files are no certificate and its key; the message says what is wrong."""


@dataclass(slots=True)
class Certificates:
    """PEM files: the server's certificate chain and key, and whose clients' certificates count."""

    certificate: Path
    key: Path
    client_ca: Path | None
    """Where given, a caller must show a certificate that it has signed."""
    _fingerprint: Fingerprint = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files. Raises BadCertificate where they are not good now."""
        return grpc.dynamic_ssl_server_credentials(
            self._read(),
            self._changed,  # type: ignore[arg-type]  # None is allowed, and means: as before
            require_client_authentication=self.client_ca is not None,
        )

    @property
    def _files(self) -> list[Path]:
        return [path for path in (self.certificate, self.key, self.client_ca) if path]

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The files' new contents, None where they are as before or not good. Each handshake asks.

        While a new pair is being written its halves do not fit: the old pair serves on.
        """
        with self._lock:
            try:
                if fingerprint(*self._files) == self._fingerprint:
                    return None
                configuration = self._read()
            except (BadCertificate, OSError) as error:
                log.warning("certificate", read=False, reason=str(error), hint="the old one serves")
                return None
        log.info("certificate", read=True, file=str(self.certificate))
        return configuration

    def _read(self) -> grpc.ServerCertificateConfiguration:
        check = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # First: what is written while they are read is a change.
            self._fingerprint = fingerprint(*self._files)
            # Of an encrypted key it would ask the terminal for the password.
            check.load_cert_chain(self.certificate, self.key, password=lambda: b"")
            if self.client_ca:
                check.load_verify_locations(self.client_ca)
            pair = (self.key.read_bytes(), self.certificate.read_bytes())
            client_ca = self.client_ca.read_bytes() if self.client_ca else None
        except (OSError, ssl.SSLError) as error:
            names = ", ".join(str(path) for path in self._files)
            reason = error.strerror or str(error)
            raise BadCertificate(
                f"{names}: {reason}; PEM files of a certificate and its unencrypted key are needed"
            ) from error
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=client_ca)
