"""The options by which every command finds its server, and what is made of them.

The environment's names begin with VALENCE_CLIENT_, as VALENCE_TOKEN_FILE and its like are the
server's settings; VALENCE_ADDRESS is the client's alone.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import grpc
import typer

from valence_client.sync import Client

_PANEL = "Connection"


def _seconds(value: float) -> float:
    if not 0 < value < math.inf:
        raise typer.BadParameter("give more than 0 seconds")
    return value


Address = Annotated[
    str,
    typer.Option(
        envvar="VALENCE_ADDRESS",
        metavar="HOST:PORT",
        help="Where the server is.",
        rich_help_panel=_PANEL,
    ),
]
TimeoutSeconds = Annotated[
    float,
    typer.Option(
        envvar="VALENCE_CLIENT_TIMEOUT_SECONDS",
        metavar="SECONDS",
        callback=_seconds,
        help="How long an answer may take; not for files and stdin.",
        rich_help_panel=_PANEL,
    ),
]
Tls = Annotated[
    bool,
    typer.Option(
        "--tls",
        envvar="VALENCE_CLIENT_TLS",
        help="Encrypt, and check the server's certificate.",
        rich_help_panel=_PANEL,
    ),
]
RootCertificates = Annotated[
    Path | None,
    typer.Option(
        envvar="VALENCE_CLIENT_ROOT_CERTIFICATES",
        metavar="FILE",
        help="PEM file of those whose signature the server's certificate must bear; implies --tls.",
        rich_help_panel=_PANEL,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        envvar="VALENCE_CLIENT_TOKEN_FILE",
        metavar="FILE",
        help="File that holds the token, which is never given in a command line.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True)
class Connection:
    """What the options said. Its methods raise typer.BadParameter where they cannot be so.

    A client certificate would be one more pair of files here, for ``client`` and ``channel``.
    """

    address: str
    timeout_seconds: float
    tls: bool
    root_certificates: Path | None
    token_file: Path | None

    def client(self, *, retries: int = 3) -> Client:
        """A client, to be closed."""
        try:
            return Client(
                self.address,
                timeout_seconds=self.timeout_seconds,
                retries=retries,
                tls=self._encrypted,
                root_certificates=self._roots(),
                token=self._token(),
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    def channel(self) -> grpc.Channel:
        """A bare channel, for asking after health: a client's has health checks of its own."""
        # A server that comes back should be found soon.
        options = [("grpc.max_reconnect_backoff_ms", 2_000)]
        if not self._encrypted:
            return grpc.insecure_channel(self.address, options)
        credentials = grpc.ssl_channel_credentials(self._roots())
        return grpc.secure_channel(self.address, credentials, options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The token's, for a server whose health wants one."""
        token = self._token()
        return () if token is None else (("authorization", f"Bearer {token}"),)

    @property
    def _encrypted(self) -> bool:
        return self.tls or self.root_certificates is not None

    def _roots(self) -> bytes | None:
        path = self.root_certificates
        return None if path is None else _read(path, "--root-certificates")

    def _token(self) -> str | None:
        if self.token_file is None:
            return None
        token = _read(self.token_file, "--token-file").strip()
        if not token or not token.isascii() or len(token.split()) != 1:
            raise typer.BadParameter(f"{self.token_file}: one token in one line is wanted there")
        return token.decode()


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{option}: {path} cannot be read: {error.strerror}") from None
