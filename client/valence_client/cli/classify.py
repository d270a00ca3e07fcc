"""``valence classify``: its options."""

import sys
from typing import Annotated

import typer

from valence_client._connection import DEFAULT_ADDRESS
from valence_client._requests import Overlength
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
from valence_client.cli.ending import told
from valence_client.cli.reading.source import STDIN, InputFormat
from valence_client.cli.writing.output import OutputFormat

_INPUT, _OUTPUT = "Input", "Output"


def classify(
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts.")] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="File with the texts, - for stdin, where they also come from without TEXT.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    input_format: Annotated[
        InputFormat | None,
        typer.Option(
            "--format", help="What the file is, if not as its name ends.", rich_help_panel=_INPUT
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column with the texts, in CSV, TSV and Parquet; if not 'text' or the only one.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Field with the texts, in JSONL; dots lead into objects: review.body.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER", help="What stands between columns.", rich_help_panel=_INPUT
        ),
    ] = None,
    overlength: Annotated[
        Overlength,
        typer.Option(
            help="What to do with a text that is longer than the model reads.",
            rich_help_panel=_INPUT,
        ),
    ] = "truncate",
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the records go, if not to stdout.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option(
            help="How they are written, if not as its name ends.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="As --output-format jsonl.", rich_help_panel=_OUTPUT)
    ] = False,
    prefix: Annotated[
        str,
        typer.Option(
            help="What stands before the names of the columns that are added.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an output.", rich_help_panel=_OUTPUT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output.", rich_help_panel=_OUTPUT)
    ] = False,
    address: Address = DEFAULT_ADDRESS,
    timeout_seconds: TimeoutSeconds = 10.0,
    tls: Tls = False,
    root_certificates: RootCertificates = None,
    client_certificate: ClientCertificate = None,
    client_key: ClientKey = None,
    token_file: TokenFile = None,
) -> None:
    """How texts feel: those given, or each row of a file or of stdin.

    valence classify "I loved every minute of it"
    valence classify < reviews.txt
    valence classify -f reviews.csv --column body -o sentiments.csv
    valence classify -f reviews.csv --column body -o sentiments.csv --resume
    valence classify -f reviews.jsonl --field review.body --json

    A file's rows keep their columns and their order. Each has a record in the
    output with its sentiment or its error; those with an error are also told
    on stderr, with their line. Ctrl-C, SIGTERM and even SIGKILL leave an
    output that --resume continues.

    Exit codes: 0, or 1 where a row has no sentiment or nothing could be done,
    2 for wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    if texts and file is not None:
        raise typer.BadParameter("give texts or a --file, not both")
    if not texts and file is None and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter("give a text, a --file, or pipe texts to it, one a line")
    if as_json and output_format not in (None, "jsonl"):
        raise typer.BadParameter(f"--json is not --output-format {output_format}")
    if delimiter is not None and len(delimiter) != 1:
        raise typer.BadParameter("--delimiter is one character")
    if resume and overwrite:
        raise typer.BadParameter("--resume keeps what --overwrite throws away: give one of them")
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
        from valence_client.cli.job import Job

        job = Job(
            texts=texts or [],
            file=file or STDIN,
            input_format=input_format,
            column=column,
            field=field,
            delimiter=delimiter,
            output=output,
            output_format="jsonl" if as_json else output_format,
            prefix=prefix,
            resume=resume,
            overwrite=overwrite,
            overlength=overlength,
        )
        code = job.run(connection)
    raise typer.Exit(code)
