"""Where records go, and the formats by name."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

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


def output_format(path: str | None, asked: OutputFormat | None) -> OutputFormat:
    """The format asked for, or the one that the name ends with; a table for stdout.

    Raises FileError.
    """
    if asked is not None:
        return asked
    if path is None:
        return "table"
    found = _BY_SUFFIX.get(Path(path).suffix.lower())
    if found is None:
        raise FileError(
            f"{path}: its name does not say how to write it: add --output-format jsonl, csv, tsv "
            "or table"
        )
    return found


def make_format(kind: OutputFormat, source: Source, *, prefix: str, to_stdout: bool) -> AnyFormat:
    """What makes the records. Raises FileError where the input has no columns for it."""
    if kind == "table" and not to_stdout:
        return Table()
    if kind == "table":
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        return Table(encoding=sys.stdout.encoding, coloured=coloured)
    if kind == "jsonl":
        return Jsonl(prefix=prefix, name=source.name)
    if source.columns is None:
        raise FileError(
            f"{source.name}: its first row is no JSON object, and the columns are that one's: "
            "mend it, or write JSONL"
        )
    delimiter = "\t" if kind == "tsv" else ","
    return Delimited(source.columns, name=source.name, delimiter=delimiter, prefix=prefix)


def check_output(path: str, source: str, *, resume: bool, overwrite: bool) -> None:
    """Raises FileError where writing there would destroy what is there."""
    output = Path(path)
    if not output.exists():
        return
    if Path(source).exists() and output.samefile(source):
        raise FileError(f"{path} is the input: give another --output")
    if output.is_file() and output.stat().st_size and not (resume or overwrite):
        raise FileError(f"{path} exists: continue it with --resume, or replace it with --overwrite")


@contextmanager
def open_output(
    path: str, form: AnyFormat, source: Source, *, resume: bool
) -> Iterator[tuple[BinaryIO, Kept]]:
    """Open the file, at the end of what stays of it, with the header written.

    With resume, the rows that the file has records of are taken from the source. Raises FileError.
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
        if kept.end_bytes == 0:
            file.write(form.header())
            file.flush()
        yield file, kept


def _opened(path: str) -> BinaryIO:
    """A file keeps its content until it is known what to do with it; a pipe or device has none."""
    if not Path(path).exists():
        return Path(path).open("x+b")
    return Path(path).open("r+b" if Path(path).is_file() else "wb")


def _lock(file: BinaryIO, path: str) -> None:
    """Two that continue the same file would write each row twice. Raises FileError."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileError(f"{path} is being written by another process: wait for it") from None
    except OSError:  # not every file system knows locks
        return
