"""Write CSV and TSV: the input's columns, then six of the sentiment."""

from __future__ import annotations

import codecs
import csv
from typing import TYPE_CHECKING, BinaryIO

from valence_client.cli.reading.row import FileError
from valence_client.cli.writing.record import to_bytes, to_json, to_text
from valence_client.errors import ValenceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from valence_client.cli.reading.row import Row
    from valence_client.results import Outcome

ADDED = ("label", "score", "polarity", "valence", "truncated", "error")


class Delimited:
    """A record for each row."""

    def __init__(
        self,
        columns: Sequence[str],
        *,
        name: str,
        header: Sequence[str] = (),
        delimiter: str = ",",
        prefix: str = "",
        marked: bool = False,
    ) -> None:
        """Take the input's columns. Raise FileError if an added one is among them.

        ``header``: their names for the header, if these differ. ``marked``: begin with a byte
        order mark.
        """
        added = [prefix + column for column in ADDED]
        header = header or columns
        clash = next((column for column in added if column in header), None)
        if clash is not None:
            raise FileError(
                f"{name} has a column {clash!r} of its own: rename the added ones, as with "
                "--prefix sentiment_"
            )
        self._columns = tuple(columns)
        self._mark = codecs.BOM_UTF8 if marked else b""
        self._all = (*header, *added)
        self._delimiter = delimiter
        self._written = ""
        self._writer = csv.writer(self, delimiter=delimiter)

    def write(self, record: str) -> None:
        """Take a record from the csv module, and end it with LF."""
        # The module's own end, CR LF, makes it quote cells that hold either.
        self._written = record.removesuffix("\r\n") + "\n"

    def header(self) -> bytes:
        """Return the names of the columns."""
        return self._mark + self._encoded(self._all)

    def record(self, row: Row, outcome: Outcome) -> bytes:
        """Return the record of a row, without the fields of ``left_out``."""
        return self._encoded([*self._cells(row), *_added(outcome)])

    def left_out(self, row: Row) -> list[str]:
        """Return the fields of a row that have no column."""
        return [name for name in row.columns if name not in self._columns]

    def complete(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the header and each complete record. A line end within quotes ends none."""
        record = b""
        for line in file:
            record += line
            if line.endswith(b"\n") and record.count(b'"') % 2 == 0:
                yield record
                record = b""

    def may_begin(self, cut: bytes) -> bool:
        """Return whether the header begins with ``cut``."""
        return self.header().startswith(cut)

    def belongs(self, record: bytes, row: Row) -> bool:
        """Return whether its first cells are the row's."""
        # The empty cell adds the delimiter before it.
        return record.startswith(self._encoded([*self._cells(row), ""])[:-1])

    def has_error(self, record: bytes) -> bool:
        """Return whether its last cell, the error, has content."""
        return not record.endswith(to_bytes(self._delimiter + "\n"))

    def _cells(self, row: Row) -> list[str]:
        return [_cell(row.columns.get(column)) for column in self._columns]

    def _encoded(self, cells: Sequence[str]) -> bytes:
        self._writer.writerow(cells)
        return to_bytes(self._written)


def _added(outcome: Outcome) -> list[str]:
    if isinstance(outcome, ValenceError):
        return ["", "", "", "", "", str(outcome)]
    return [
        outcome.label,
        repr(outcome.score),
        outcome.polarity,
        "" if outcome.valence is None else repr(outcome.valence),
        "true" if outcome.truncated else "false",
        "",
    ]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return to_json(value)
    return to_text(value)
