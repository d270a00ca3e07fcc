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
        found: Fingerprint = ()
        contents = {}
        for flag, path in self._files.items():
            try:
                found += fingerprint(path)  # first: a file that is written meanwhile has changed
                contents[flag] = path.read_bytes()
            except OSError as error:
                raise BadCertificate(f"{flag} {path}: {error.strerror}") from error
        self._fingerprint = found
        self._check()
        return Pem(
            certificate=contents["--tls-certificate"],
            key=contents["--tls-key"],
            client_ca=contents.get("--tls-client-ca"),
        )

    def _check(self) -> None:
        check = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without the password it would ask the terminal for that of an encrypted key.
            check.load_cert_chain(self.certificate, self.key, password=lambda: b"")
        except (OSError, ssl.SSLError) as error:
            raise BadCertificate(
                f"--tls-certificate {self.certificate}, --tls-key {self.key}: "
                f"{error.strerror or error}; PEM files of a certificate and its unencrypted key "
                "are needed"
            ) from error
        try:
            if self.client_ca:
                check.load_verify_locations(self.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise BadCertificate(
                f"--tls-client-ca {self.client_ca}: {error.strerror or error}; a PEM file of an "
                "authority's certificate is needed"
            ) from error

    def read_changed(self) -> Pem | None:
        """Return the new contents; None where the files are as before, or do not fit together.

        While a new pair is being written its halves do not fit: the old pair serves on. Any thread
        may call this.
        """
        with self._lock:
            try:
                if fingerprint(*self._files.values()) == self._fingerprint:
                    return None
                pem = self.read()
            except (BadCertificate, OSError) as error:
                log.warning("certificate", read=False, reason=str(error), hint="the old one serves")
                return None
        log.info("certificate", read=True, file=str(self.certificate))
        return pem

    @property
    def _files(self) -> dict[str, Path]:
        """Return the files by the flags that name them."""
        files = {
            "--tls-certificate": self.certificate,
            "--tls-key": self.key,
            "--tls-client-ca": self.client_ca,
        }
        return {flag: path for flag, path in files.items() if path}
