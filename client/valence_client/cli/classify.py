"""The options of ``valence classify``."""

import sys
from typing import Annotated, Literal

import typer

from valence_client._connection import DEFAULT_ADDRESS
from valence_client._requests import Overlength
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
from valence_client.cli.reading.opening import STDIN
from valence_client.cli.reading.source import InputFormat
from valence_client.cli.writing.output import OutputFormat

_INPUT, _OUTPUT = "Input", "Output"


def classify(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts to classify.")
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="File with the texts, or - for stdin, the default without TEXT.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    input_format: Annotated[
        InputFormat | None,
        typer.Option(
            "--format", help="Format of the file; by default from its name.", rich_help_panel=_INPUT
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of the texts in CSV, TSV and Parquet; by default 'text' or the only one.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Field of the texts in JSON and JSONL; a dot leads into an object: review.body.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="CHARACTER", help="Delimiter of the columns.", rich_help_panel=_INPUT),
    ] = None,
    quoting: Annotated[
        Literal["csv", "none"] | None,
        typer.Option(
            help="Whether cells may be in quotes, or quotes are characters like others; by default "
            "csv, in TSV as its quotes suggest.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    escape_character: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER",
            help="Character before a quote that is part of a text, as \\ in what Spark writes.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of a file without a byte order mark, such as windows-1252; by default "
            "utf-8.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    overlength: Annotated[
        Overlength,
        typer.Option(
            help="Truncate or reject a text that is longer than the model reads, or read all of "
            "it in windows.",
            rich_help_panel=_INPUT,
        ),
    ] = "truncate",
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File for the records; by default stdout.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option(
            help="Format of the records; by default from the file's name.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="The same as --output-format jsonl.", rich_help_panel=_OUTPUT),
    ] = False,
    prefix: Annotated[
        str,
        typer.Option(
            help="Prefix of the names of added columns.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue an output that was stopped.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an output that exists.", rich_help_panel=_OUTPUT),
    ] = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_seconds: TimeoutSeconds = 10.0,
    tls: Tls = False,
    root_certificates: RootCertificates = None,
    client_certificate: ClientCertificate = None,
    client_key: ClientKey = None,
    server_name: ServerName = None,
    token_file: TokenFile = None,
) -> None:
    """Classify the texts given, or each row of a file or of stdin.

    valence classify "I loved every minute of it"
    valence classify < reviews.txt
    valence classify -f reviews.csv --column body -o sentiments.csv
    valence classify -f reviews.csv --column body -o sentiments.csv --resume
    valence classify -f reviews.jsonl --field review.body --json

    The output has a record for each row, in order: the row's columns, then its
    sentiment or its error. Errors are also printed on stderr, with their line.
    After Ctrl-C, SIGTERM and even SIGKILL, --resume continues the output.

    Exit codes: 0, or 1 if a row has no sentiment or the run failed, 2 for wrong
    usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    if texts and file is not None:
        raise typer.BadParameter("give texts or a --file, not both")
    if not texts and file is None and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter("give a text or a --file, or pipe texts to stdin, one a line")
    if as_json and output_format not in (None, "jsonl"):
        raise typer.BadParameter(f"--json is not --output-format {output_format}")
    _check_characters(delimiter, escape_character)
    _check_encoding(encoding)
    if resume and overwrite:
        raise typer.BadParameter(
            "--resume keeps the output and --overwrite replaces it: give one of them"
        )
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
        from valence_client.cli.job import Job
        from valence_client.cli.reading.table import TableOptions

        job = Job(
            texts=texts or [],
            file=file or STDIN,
            input_format=input_format,
            field=field,
            table=TableOptions(
                column=column,
                delimiter=delimiter,
                quoting=quoting,
                escape=escape_character,
                encoding=encoding,
            ),
            output=output,
            output_format="jsonl" if as_json else output_format,
            prefix=prefix,
            resume=resume,
            overwrite=overwrite,
            overlength=overlength,
        )
        code = job.run(connection)
    raise typer.Exit(code)


def _check_characters(delimiter: str | None, escape_character: str | None) -> None:
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise typer.BadParameter("--delimiter must be one character, and no quote or line end")
    if escape_character is None:
        return
    if len(escape_character) != 1 or escape_character in '"\r\n ':
        raise typer.BadParameter(
            "--escape-character must be one character, and no quote, blank or line end"
        )


def _check_encoding(encoding: str | None) -> None:
    try:
        "a".encode(encoding or "utf-8")
    except LookupError as error:
        raise typer.BadParameter(f"--encoding: {error}") from None
