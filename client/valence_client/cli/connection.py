"""The connection options of every command, and the client or channel that they describe.

Their environment variables begin with VALENCE_CLIENT_: VALENCE_TOKEN_FILE and its like are the
server's settings. VALENCE_ADDRESS is the one exception.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import grpc
import typer

from valence_client._address import target_of
from valence_client._connection import channel_credentials, connect_options
from valence_client._seconds import MAX_SECONDS
from valence_client._token import bearer
from valence_client._unreachable import Peer
from valence_client.cli.ending import in_flags
from valence_client.sync import Client

_PANEL = "Connection"


def seconds(value: float | None) -> float | None:
    """Return a duration. Raise typer.BadParameter if it is none, or longer than a day."""
    if value is not None and not 0 < value <= MAX_SECONDS:
        raise typer.BadParameter(f"{value:g}: give more than 0 and at most {MAX_SECONDS} seconds")
    return value


Address = Annotated[
    str,
    typer.Option(
        envvar="VALENCE_ADDRESS",
        metavar="HOST:PORT",
        help="Address of the server; unix:PATH is a socket on this machine.",
        rich_help_panel=_PANEL,
    ),
]
TimeoutSeconds = Annotated[
    float,
    typer.Option(
        envvar="VALENCE_CLIENT_TIMEOUT_SECONDS",
        metavar="SECONDS",
        callback=seconds,
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
ServerName = Annotated[
    str | None,
    typer.Option(
        envvar="VALENCE_CLIENT_SERVER_NAME",
        metavar="NAME",
        help="Name in the server's certificate, if the address is another.",
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
    server_name: str | None
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
                server_name=self.server_name,
                token=self.token_file,
            )

    def channel(self) -> grpc.Channel:
        """Return a bare channel for health calls: a client's channel checks health by itself."""
        options = list(connect_options(self.address, self.server_name).items())
        with _bad_parameters():
            target = target_of(self.address)
            if not self._encrypted:
                return grpc.insecure_channel(target, options)
            credentials = channel_credentials(
                root_certificates=self.root_certificates,
                client_certificate=self.client_certificate,
                client_key=self.client_key,
            )
        return grpc.secure_channel(target, credentials, options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the token's metadata, for a server that requires it for its health."""
        with _bad_parameters():
            return bearer(self.token_file)()

    @property
    def peer(self) -> Peer:
        """Whom a channel connects to, for messages."""
        return Peer(self.address, tls=self._encrypted)

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
        raise typer.BadParameter(in_flags(str(error))) from None
