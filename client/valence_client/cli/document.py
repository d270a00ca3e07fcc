"""The options of ``valence document``."""

import json
import os
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from valence_client._connection import DEFAULT_ADDRESS
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
)
from valence_client.cli.ending import reported_errors
from valence_client.cli.reading.opening import STDIN, UTF_8, name_of, open_content
from valence_client.cli.reading.row import FileError

# No server takes a larger document than this.
MAX_BYTES = 16 << 20


def document(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="File of the text, or - for stdin.")
    ] = STDIN,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_html: Annotated[
        bool, typer.Option("--html", help="Print a page with the sentences in colour.")
    ] = False,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of a file without a byte order mark; by default utf-8.",
        ),
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    timeout_seconds: TimeoutSeconds = 60.0,
    tls: Tls = False,
    root_certificates: RootCertificates = None,
    client_certificate: ClientCertificate = None,
    client_key: ClientKey = None,
    server_name: ServerName = None,
    token_file: TokenFile = None,
) -> None:
    """Classify a text of any length as a whole, and each of its sentences.

    valence document review.txt
    valence document --html < review.txt > review.html

    A terminal shows the text with its sentences in colour: green is positive,
    red is negative. A pipe gets a line for the whole, then one for each
    sentence.
    """
    if as_json and as_html:
        raise typer.BadParameter("--json and --html are two formats: give one of them")
    try:
        "a".encode(encoding or UTF_8)
    except LookupError as error:
        raise typer.BadParameter(f"--encoding: {error}") from None
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
        from valence_client.cli.writing import document as written

        text = _read(file, encoding)
        with connection.client() as client:
            answer = client.classify_document(text)
        if as_json:
            output = json.dumps(asdict(answer), ensure_ascii=False).encode() + b"\n"
        elif as_html:
            output = written.html_page(answer, text, title=name_of(file))
        elif sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
            output = written.coloured(answer, text, encoding=sys.stdout.encoding)
        else:
            output = written.lines(answer)
        sys.stdout.buffer.write(output)
        sys.stdout.flush()


def _read(file: str, encoding: str | None) -> str:
    with open_content(file, encoding=encoding) as content:
        data = content.file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise FileError(f"{name_of(file)} has more than {MAX_BYTES >> 20} MiB: no server takes it")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FileError(
            f"{name_of(file)} is not {content.encoding} at byte {error.start}: give its --encoding"
        ) from None
