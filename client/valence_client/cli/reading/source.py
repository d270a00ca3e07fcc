"""Open a path in a format as a source of rows."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from valence_client.cli.reading.compression import split_name
from valence_client.cli.reading.lines import read_lines, read_plain
from valence_client.cli.reading.opening import STDIN, name_of, open_content
from valence_client.cli.reading.row import FileError, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valence_client.cli.reading.opening import Content
    from valence_client.cli.reading.table import TableOptions

InputFormat: TypeAlias = Literal["lines", "csv", "tsv", "json", "jsonl", "parquet"]

_BY_SUFFIX: dict[str, InputFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
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
    found = _BY_SUFFIX.get(Path(split_name(path)[0]).suffix.lower())
    if found is None:
        raise FileError(
            f"{path}: its name does not say what it holds: add --format lines, csv, tsv, json, "
            "jsonl or parquet"
        )
    return found


@contextmanager
def open_source(
    path: str, kind: InputFormat, *, field: str | None, table: TableOptions
) -> Iterator[Source]:
    """Open a file, or stdin for ``-``, and read its columns. Raise FileError."""
    if kind == "parquet":
        yield from _parquet(path, table.column)
        return
    with open_content(path, encoding=table.encoding) as content:
        yield _source(content, path, kind, field=field, table=table)


def _source(
    content: Content, path: str, kind: InputFormat, *, field: str | None, table: TableOptions
) -> Source:
    name, total = name_of(path), content.size_bytes
    lines = read_lines(content.file, encoding=content.encoding)
    if kind == "lines":
        return Source(name, total, ("text",), read_plain(lines))
    if kind in ("csv", "tsv"):
        from valence_client.cli.reading.table import read_table

        read, notes = read_table(lines, path, kind, table, name)
        return Source(
            *(name, total, read.columns, read.rows()),
            header=read.header,
            marked=content.marked,
            notes=notes,
        )
    from valence_client.cli.reading.array import is_array, read_items
    from valence_client.cli.reading.jsonl import Objects

    if kind == "json" and is_array(content.file):
        objects = Objects(read_items(content.file, name=name), name=name, field=field)
        return Source(name, total, objects.columns, objects.rows, unit="item")
    objects = Objects(lines, name=name, field=field)
    return Source(name, total, objects.columns, objects.rows)


def _parquet(path: str, column: str | None) -> Iterator[Source]:
    from valence_client.cli.reading.parquet import Parquet

    if path == STDIN:
        raise FileError("Parquet is read from its end, so not from stdin: give a --file")
    parquet = Parquet(path, column=column)
    try:
        yield Source(
            *(path, parquet.total, parquet.columns, parquet.rows()),
            unit="row",
            header=parquet.header,
        )
    finally:
        parquet.close()
