"""Open a path in a format as a source of rows."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from valence_client.cli.reading.row import FileError, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

InputFormat: TypeAlias = Literal["lines", "csv", "tsv", "jsonl", "parquet"]

STDIN = "-"
_BY_SUFFIX: dict[str, InputFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "lines",
}


def input_format(path: str, given: InputFormat | None) -> InputFormat:
    """Return the format given, or else that of the name's end; lines for stdin.

    Raise FileError if the name's end is unknown.
    """
    if given is not None:
        return given
    if path == STDIN:
        return "lines"
    found = _BY_SUFFIX.get(Path(path).suffix.lower())
    if found is None:
        raise FileError(
            f"{path}: its name does not say what it holds: add --format lines, csv, tsv, jsonl "
            "or parquet"
        )
    return found


@contextmanager
def open_source(
    path: str,
    kind: InputFormat,
    *,
    column: str | None = None,
    field: str | None = None,
    delimiter: str | None = None,
) -> Iterator[Source]:
    """Open a file, or stdin for ``-``, and read its columns. Raise FileError."""
    if kind == "parquet":
        yield from _parquet(path, column)
        return
    name = "stdin" if path == STDIN else path
    if path == STDIN and sys.stdin is None:
        raise FileError("stdin is closed: give a --file")
    try:
        file = sys.stdin.buffer if path == STDIN else Path(path).open("rb")  # noqa: SIM115
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        yield _source(file, name, kind, column=column, field=field, delimiter=delimiter)
    finally:
        if path != STDIN:
            file.close()


def _source(
    file: BinaryIO,
    name: str,
    kind: InputFormat,
    *,
    column: str | None,
    field: str | None,
    delimiter: str | None,
) -> Source:
    total = _size(file)
    if kind == "jsonl":
        from valence_client.cli.reading.jsonl import Objects

        objects = Objects(file, name=name, field=field)
        return Source(name, total, objects.columns, objects.rows)
    if kind == "lines":
        from valence_client.cli.reading.lines import read_plain

        return Source(name, total, ("text",), read_plain(file, name=name))
    from valence_client.cli.reading.table import Table

    delimiter = delimiter or ("\t" if kind == "tsv" else ",")
    table = Table(file, name=name, delimiter=delimiter, column=column)
    return Source(name, total, table.columns, table.rows())


def _parquet(path: str, column: str | None) -> Iterator[Source]:
    from valence_client.cli.reading.parquet import Parquet

    if path == STDIN:
        raise FileError("Parquet is read from its end, so not from stdin: give a --file")
    parquet = Parquet(path, column=column)
    try:
        yield Source(path, parquet.total, parquet.columns, parquet.rows(), unit="row")
    finally:
        parquet.close()


def _size(file: BinaryIO) -> int | None:
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
