"""The server's certificate, read again when its files change: no restart, no call lost."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from valence_service.transports.fingerprint import Fingerprint, fingerprint

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger()


class BadCertificate(Exception):
    """The files are no certificate and its key; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Pem:
    """The contents of the files."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None


@dataclass(slots=True)
class Certificates:
    """PEM files: the server's certificate chain and key, and who signs clients' certificates."""

    certificate: Path
    key: Path
    client_ca: Path | None
    """Where given, a client must show a certificate that it has signed."""
    _fingerprint: Fingerprint = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> Pem:
        """Return the contents. Raise BadCertificate where they do not fit together."""
        check = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # First: a file that is written while it is read has changed.
            self._fingerprint = fingerprint(*self._files)
            # Without the password it would ask the terminal for that of an encrypted key.
            check.load_cert_chain(self.certificate, self.key, password=lambda: b"")
            if self.client_ca:
                check.load_verify_locations(self.client_ca)
            return Pem(
                certificate=self.certificate.read_bytes(),
                key=self.key.read_bytes(),
                client_ca=self.client_ca.read_bytes() if self.client_ca else None,
            )
        except (OSError, ssl.SSLError) as error:
            names = ", ".join(str(path) for path in self._files)
            reason = error.strerror or str(error)
            raise BadCertificate(
                f"{names}: {reason}; PEM files of a certificate and its unencrypted key are needed"
            ) from error

    def read_changed(self) -> Pem | None:
        """Return the new contents; None where the files are as before, or do not fit together.

        While a new pair is being written its halves do not fit: the old pair serves on. Any thread
        may call this.
        """
        with self._lock:
            try:
                if fingerprint(*self._files) == self._fingerprint:
                    return None
                pem = self.read()
            except (BadCertificate, OSError) as error:
                log.warning("certificate", read=False, reason=str(error), hint="the old one serves")
                return None
        log.info("certificate", read=True, file=str(self.certificate))
        return pem

    @property
    def _files(self) -> list[Path]:
        return [path for path in (self.certificate, self.key, self.client_ca) if path]
