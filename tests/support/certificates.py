"""Certificates made on the spot."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path) -> tuple[str, str]:
        """Into two files; their paths."""
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)
        return str(certificate), str(key)


class Authority:
    """One that signs certificates."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.certificate: bytes = self._authority.cert_pem.bytes()

    def pair(self, name: str = "localhost", *, expired: bool = False) -> Pair:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        issued = self._authority.issue_cert(
            name, not_before=now - 2 * day, not_after=now - day if expired else now + day
        )
        return Pair(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())

    def credentials(self, pair: Pair | None = None) -> grpc.ChannelCredentials:
        """A caller's, who trusts this authority and may show a certificate."""
        shown = (pair.key, pair.certificate) if pair else (None, None)
        return grpc.ssl_channel_credentials(self.certificate, *shown)
