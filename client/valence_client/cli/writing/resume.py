"""Find the part of a half-written output that --resume keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from valence_client.cli.reading.row import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valence_client.cli.reading.row import Row
    from valence_client.cli.writing.record import ResumableFormat


@dataclass
class Kept:
    """The part of a file that is kept."""

    records: int = 0
    end_bytes: int = 0
    """Where the next record begins, over an incomplete one if there is one."""
    errors: int = 0
    position: int = 0
    """The ``Row.position`` of the last row that has a record."""


def keep(file: BinaryIO, form: ResumableFormat, rows: Iterator[Row], *, name: str) -> Kept:
    """Skip the rows that have a record in the file, and return what is kept.

    The k-th record is that of the k-th row. Raise FileError if one is not.
    """
    kept = Kept()
    complete = form.complete(file)
    header = form.header()
    if header:
        first = next(complete, b"")
        if first not in (header, b""):
            raise _refusal(name, "its first line names other columns")
        kept.end_bytes = len(first)
    for record in complete:
        row = next(rows, None)
        if row is None:
            raise _refusal(name, f"it has more than the {kept.records} records of this input")
        if not form.belongs(record, row):
            raise _refusal(name, f"its record {kept.records + 1} differs from row {row.number}")
        kept.records += 1
        kept.end_bytes += len(record)
        kept.errors += form.has_error(record)
        kept.position = row.position
    # The incomplete record will be overwritten: first make sure that this is not another file.
    file.seek(0)
    if kept.end_bytes == 0 and not form.may_begin(file.read(len(header) or 1)):
        raise _refusal(name, "it begins differently")
    return kept


def _refusal(name: str, why: str) -> FileError:
    return FileError(
        f"{name} is not the output of this input: {why}. Resume with the same input and options, "
        "or start again with --overwrite"
    )
