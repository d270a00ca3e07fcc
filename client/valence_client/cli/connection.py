"""The connection options of every command, and the client or channel that they describe.

Their environment variables begin with VALENCE_CLIENT_: VALENCE_TOKEN_FILE and its like are the
server's settings. VALENCE_ADDRESS is the one exception.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import grpc
import typer

from valence_client._token import bearer
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
        help="Address of the server.",
        rich_help_panel=_PANEL,
    ),
]
TimeoutSeconds = Annotated[
    float,
    typer.Option(
        envvar="VALENCE_CLIENT_TIMEOUT_SECONDS",
        metavar="SECONDS",
        callback=_seconds,
        help="Deadline of an answer; files and stdin have none.",
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
        help="PEM file of the authorities that may sign the server's certificate; implies --tls.",
        rich_help_panel=_PANEL,
    ),
]
ClientCertificate = Annotated[
    Path | None,
    typer.Option(
        envvar="VALENCE_CLIENT_CERTIFICATE",
        metavar="FILE",
        help="PEM file of the client's certificate, if the server requires one; with --client-key.",
        rich_help_panel=_PANEL,
    ),
]
ClientKey = Annotated[
    Path | None,
    typer.Option(
        envvar="VALENCE_CLIENT_KEY",
        metavar="FILE",
        help="PEM file of its key.",
        rich_help_panel=_PANEL,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        envvar="VALENCE_CLIENT_TOKEN_FILE",
        metavar="FILE",
        help="File of the token. A command line never holds a token.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Connection:
    """The options. Its methods raise typer.BadParameter for options that cannot work."""

    address: str
    timeout_seconds: float
    tls: bool
    root_certificates: Path | None
    client_certificate: Path | None
    client_key: Path | None
    token_file: Path | None

    def client(self) -> Client:
        """Return a client, which the caller closes."""
        with _bad_parameters():
            return Client(
                self.address,
                timeout_seconds=self.timeout_seconds,
                tls=self._encrypted,
                root_certificates=self.root_certificates,
                client_certificate=self.client_certificate,
                client_key=self.client_key,
                token=self.token_file,
            )

    def channel(self) -> grpc.Channel:
        """Return a bare channel for health calls: a client's channel checks health by itself."""
        # Find a restarted server soon.
        options = [("grpc.max_reconnect_backoff_ms", 2_000)]
        if not self._encrypted:
            return grpc.insecure_channel(self.address, options)
        with _bad_parameters():
            credentials = grpc.ssl_channel_credentials(
                _read(self.root_certificates),
                _read(self.client_key),
                _read(self.client_certificate),
            )
        return grpc.secure_channel(self.address, credentials, options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the token's metadata, for a server that requires it for its health."""
        with _bad_parameters():
            return bearer(self.token_file)()

    @property
    def _encrypted(self) -> bool:
        return self.tls or bool(self.root_certificates or self.client_certificate)


@contextmanager
def _bad_parameters() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"{error.filename} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
