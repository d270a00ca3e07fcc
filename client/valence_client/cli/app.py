"""The commands."""

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
    TimeoutSeconds,
    Tls,
    TokenFile,
)
from valence_client.cli.ending import FAILED, told

app = typer.Typer(
    name="valence",
    help="Ask a Valence server how texts feel.",
    no_args_is_help=True,
    # Local variables in a traceback would show texts and the token.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(classify)


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
    """Ask a Valence server how texts feel."""


@app.command()
def model(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_seconds: TimeoutSeconds = 10.0,
    tls: Tls = False,
    root_certificates: RootCertificates = None,
    client_certificate: ClientCertificate = None,
    client_key: ClientKey = None,
    token_file: TokenFile = None,
) -> None:
    """Which model answers, what its labels mean, and what a request may hold."""
    from valence_client.cli import render

    connection = Connection(
        address=address,
        timeout_seconds=timeout_seconds,
        tls=tls,
        root_certificates=root_certificates,
        client_certificate=client_certificate,
        client_key=client_key,
        token_file=token_file,
    )
    with told(address=address, timeout_seconds=timeout_seconds), connection.client() as client:
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
    token_file: TokenFile = None,
) -> None:
    """Whether the server takes calls: for probes.

    Prints its status. Exit codes: 0 where that is SERVING, else 1. No token is
    needed, unless the server was told to keep its health to itself.
    """
    from valence_client.cli.health import SERVING, check

    connection = Connection(
        address=address,
        timeout_seconds=timeout_seconds,
        tls=tls,
        root_certificates=root_certificates,
        client_certificate=client_certificate,
        client_key=client_key,
        token_file=token_file,
    )
    with told(address=address, timeout_seconds=timeout_seconds):
        status = check(connection)
        print(status)
    raise typer.Exit(0 if status == SERVING else FAILED)


@app.command()
def watch(
    *,
    until_serving: Annotated[
        bool, typer.Option("--until-serving", help="End with 0 once it is SERVING.")
    ] = False,
    watch_seconds: Annotated[
        float | None,
        typer.Option(
            "--timeout-seconds",
            metavar="SECONDS",
            min=0,
            help="End after so long: with 1 where --until-serving was waited for, else with 0. "
            "Without it, Ctrl-C ends the watch.",
        ),
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    tls: Tls = False,
    root_certificates: RootCertificates = None,
    client_certificate: ClientCertificate = None,
    client_key: ClientKey = None,
    token_file: TokenFile = None,
) -> None:
    """Print the server's health and each change of it, with the time.

    UNREACHABLE means that no server answers; it is tried again until one does.
    To wait for one in a script:

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
        token_file=token_file,
    )
    with told(address=address):
        for status in health.watch(connection, timeout_seconds=watch_seconds):
            print(time.strftime("%Y-%m-%dT%H:%M:%S%z"), status, flush=True)
            if until_serving and status == health.SERVING:
                return
    raise typer.Exit(FAILED if until_serving else 0)
