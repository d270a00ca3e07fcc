"""Open the output, and choose its format."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from valence_client.cli.reading import compression
from valence_client.cli.reading.row import FileError
from valence_client.cli.writing.delimited import Delimited
from valence_client.cli.writing.jsonl import Jsonl
from valence_client.cli.writing.resume import Kept, keep
from valence_client.cli.writing.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valence_client.cli.reading.row import Source

AnyFormat: TypeAlias = Jsonl | Delimited | Table
OutputFormat: TypeAlias = Literal["table", "csv", "tsv", "jsonl"]

_BY_SUFFIX: dict[str, OutputFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "table",
}


def output_format(path: str | None, given: OutputFormat | None) -> OutputFormat:
    """Return the format given, or else that of the name's end; a table for stdout.

    Raise FileError if the name's end is unknown.
    """
    if given is not None:
        return given
    if path is None:
        return "table"
    uncompressed, _ = compression.split_name(path)
    found = _BY_SUFFIX.get(Path(uncompressed).suffix.lower())
    if found is None:
        raise FileError(
            f"{path}: its name does not say how to write it: add --output-format jsonl, csv, tsv "
            "or table"
        )
    return found


def make_format(kind: OutputFormat, source: Source, *, prefix: str, to_stdout: bool) -> AnyFormat:
    """Return the format that makes the records. Raise FileError if the columns do not allow it."""
    if kind == "table" and not to_stdout:
        return Table()
    if kind == "table":
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        return Table(encoding=sys.stdout.encoding, coloured=coloured)
    if kind == "jsonl":
        return Jsonl(prefix=prefix, name=source.name)
    if source.columns is None:
        raise FileError(
            f"{source.name}: its first row gives the columns, but is not a JSON object: mend it, "
            "or write JSONL"
        )
    delimiter = "\t" if kind == "tsv" else ","
    return Delimited(
        source.columns,
        name=source.name,
        header=source.header,
        delimiter=delimiter,
        prefix=prefix,
        marked=source.marked,
    )


def is_resumable(path: str | None, kind: OutputFormat) -> bool:
    """Return whether the output is a file whose records can be read back after any end."""
    return path is not None and kind != "table" and compression.split_name(path)[1] is None


def check_output(path: str, source: str, *, resume: bool, overwrite: bool) -> None:
    """Raise FileError if writing to the path would destroy its content."""
    output = Path(path)
    if not output.exists():
        return
    if Path(source).exists() and output.samefile(source):
        raise FileError(f"{path} is the input: give another --output")
    if output.is_file() and output.stat().st_size and not (resume or overwrite):
        if compression.split_name(path)[1] is not None:
            raise FileError(f"{path} exists: replace it with --overwrite")
        raise FileError(f"{path} exists: continue it with --resume, or replace it with --overwrite")


@contextmanager
def open_output(
    path: str, form: AnyFormat, source: Source, *, resume: bool
) -> Iterator[tuple[BinaryIO, Kept]]:
    """Open the file after its last complete record, with the header written.

    With ``resume``, skip the rows of the source that have a record already. Raise FileError.
    """
    kept = Kept()
    try:
        file = _opened(path)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}") from None
    with file:
        _lock(file, path)
        if resume and not isinstance(form, Table):
            kept = keep(file, form, source.rows, name=path)
        if file.readable():
            file.seek(kept.end_bytes)
            file.truncate()
        packed = compression.split_name(path)[1]
        if packed is not None:
            with compression.writer(file, packed, name=path) as written:
                written.write(form.header())
                yield written, kept
            return
        if kept.end_bytes == 0:
            file.write(form.header())
            file.flush()
        yield file, kept


def _opened(path: str) -> BinaryIO:
    """Open a file with its content, a pipe or device for writing."""
    if not Path(path).exists():
        return Path(path).open("x+b")
    return Path(path).open("r+b" if Path(path).is_file() else "wb")


def _lock(file: BinaryIO, path: str) -> None:
    """Lock the file: two runs that continue it would write each row twice. Raise FileError."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileError(f"{path} is being written by another process: wait for it") from None
    except OSError:  # not every file system has locks
        return
