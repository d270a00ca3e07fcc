"""Read CSV and TSV as Excel and the csv module write them, with quoted line ends."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, BinaryIO

from valence_client.cli.reading.lines import MAX_LINE_BYTES, read_lines
from valence_client.cli.reading.row import FileError, Row, choose_column

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER_DELIMITERS = ";\t|,"


class Table:
    """A table whose first record names its columns."""

    def __init__(self, file: BinaryIO, *, name: str, delimiter: str, column: str | None) -> None:
        """Read the header. Raise FileError if it is missing, bad or lacks the column."""
        # A field may be longer than csv's own limit: the server refuses it with its own limit in
        # the message. A field that exceeds even this limit has a quote that is left open.
        csv.field_size_limit(MAX_LINE_BYTES)
        self._name = name
        self._lines = read_lines(file, name=name)
        self._reader = csv.reader(self._fed(), delimiter=delimiter)
        self._number = self._position = 0
        self._problem = ""
        self._ended = False
        header = next(self._records(), None)
        if header is None:
            raise FileError(f"{name} is empty: its first line should name the columns")
        if header[2]:
            raise FileError(f"{name}: its first line {header[2]}")
        self.columns = tuple(header[1])
        found = [d for d in OTHER_DELIMITERS if d != delimiter and d in self.columns[0]]
        if len(self.columns) == 1 and found and column != self.columns[0]:
            raise FileError(
                f"{name} has one column, {self.columns[0]!r}: if {found[0]!r} stands between "
                "columns, say so with --delimiter"
            )
        self._column = choose_column(self.columns, column, name=name)

    def rows(self) -> Iterator[Row]:
        """Yield each record after the header. Raise FileError if the rest cannot be parsed."""
        for number, cells, problem in self._records():
            missing = len(self.columns) - len(cells)
            columns = dict(zip(self.columns, cells + [""] * missing, strict=False))
            yield Row(
                number,
                self._position,
                columns,
                columns[self._column],
                problem
                or (missing and f"has {len(cells)} cells, the header {len(self.columns)}")
                or "",
            )

    def _records(self) -> Iterator[tuple[int, list[str], str]]:
        """Yield each record: the line where it begins, its cells, and its problem if any."""
        while True:
            number, self._problem = self._number + 1, ""
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                if "field limit" in str(error):
                    raise FileError(
                        f"{self._name}:{number}: a field is longer than {MAX_LINE_BYTES} "
                        "characters: is a quote left open?"
                    ) from None
                # The only other error: a carriage return that ends no line.
                cells, self._problem = [""], "has a carriage return outside of quotes"
            if cells is None:
                return
            if self._ended:  # the reader needed another line to complete this record
                self._problem = self._problem or "has a quote that is left open to the file's end"
            if cells:
                yield number, cells, self._problem

    def _fed(self) -> Iterator[str]:
        for line in self._lines:
            self._number, self._position = line.number, line.position
            if not line.whole:
                raise FileError(f"{self._name}:{line.number} {line.problem}")
            self._problem = self._problem or line.problem
            yield line.text
        self._ended = True
