"""The ``valence`` command and its subcommands, apart from classify."""

import math
import time
from importlib.metadata import version
from typing import Annotated

import typer

from valence_client._connection import DEFAULT_ADDRESS
from valence_client.cli.classify import classify
from valence_client.cli.connection import (
    Address,
    ClientCertificate,
    ClientKey,
    Connection,
    RootCertificates,
    ServerName,
    TimeoutSeconds,
    Tls,
    TokenFile,
    seconds,
)
from valence_client.cli.document import document
from valence_client.cli.ending import FAILED, reported_errors

app = typer.Typer(
    name="valence",
    help="Classify texts by sentiment with a Valence server.",
    no_args_is_help=True,
    # Local variables in a traceback would show texts and the token.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(classify)
app.command()(document)


def _version(asked: bool) -> None:
    if asked:
        print(f"valence {version('valence-client')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Classify texts by sentiment with a Valence server."""


@app.command()
def model(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_seconds: TimeoutSeconds = 10.0,
    tls: Tls = False,
    root_certificates: RootCertificates = None,
    client_certificate: ClientCertificate = None,
    client_key: ClientKey = None,
    server_name: ServerName = None,
    token_file: TokenFile = None,
) -> None:
    """Print the model, its labels and the limits of a request."""
    from valence_client.cli import render

    connection = Connection(
        address=address,
        timeout_seconds=timeout_seconds,
        tls=tls,
        root_certificates=root_certificates,
        client_certificate=client_certificate,
        client_key=client_key,
        server_name=server_name,
        token_file=token_file,
    )
    with (
        reported_errors(address=address, timeout_seconds=timeout_seconds),
        connection.client() as client,
    ):
        info = client.model()
        print(render.model_json(info) if as_json else render.model_lines(info))


@app.command()
def health(
    *,
    address: Address = DEFAULT_ADDRESS,
    timeout_seconds: TimeoutSeconds = 10.0,
    tls: Tls = False,
    root_certificates: RootCertificates = None,
    client_certificate: ClientCertificate = None,
    client_key: ClientKey = None,
    server_name: ServerName = None,
    token_file: TokenFile = None,
) -> None:
    """Check whether the server takes calls: for probes.

    Prints the status. Exit codes: 0 if it is SERVING, else 1. A token is
    needed only if the server requires one for its health.
    """
    from valence_client.cli.health import SERVING, check

    connection = Connection(
        address=address,
        timeout_seconds=timeout_seconds,
        tls=tls,
        root_certificates=root_certificates,
        client_certificate=client_certificate,
        client_key=client_key,
        server_name=server_name,
        token_file=token_file,
    )
    with reported_errors(address=address, timeout_seconds=timeout_seconds):
        status = check(connection)
        print(status)
    raise typer.Exit(0 if status == SERVING else FAILED)


@app.command()
def watch(
    *,
    until_serving: Annotated[
        bool, typer.Option("--until-serving", help="Exit with 0 once the server is SERVING.")
    ] = False,
    watch_seconds: Annotated[
        float | None,
        typer.Option(
            "--timeout-seconds",
            metavar="SECONDS",
            callback=seconds,
            help="Stop after this time, with exit code 1 if --until-serving is given, else 0. "
            "By default, Ctrl-C stops the watch.",
        ),
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    tls: Tls = False,
    root_certificates: RootCertificates = None,
    client_certificate: ClientCertificate = None,
    client_key: ClientKey = None,
    server_name: ServerName = None,
    token_file: TokenFile = None,
) -> None:
    """Print the server's health and each change, with the time.

    UNREACHABLE means that no server answers; the watch goes on. To wait for a
    server in a script:

    valence watch --until-serving --timeout-seconds 60
    """
    from valence_client.cli import health

    connection = Connection(
        address=address,
        timeout_seconds=math.inf,
        tls=tls,
        root_certificates=root_certificates,
        client_certificate=client_certificate,
        client_key=client_key,
        server_name=server_name,
        token_file=token_file,
    )
    with reported_errors(address=address):
        for status in health.watch(connection, timeout_seconds=watch_seconds):
            print(time.strftime("%Y-%m-%dT%H:%M:%S%z"), status, flush=True)
            if until_serving and status == health.SERVING:
                return
    raise typer.Exit(FAILED if until_serving else 0)
