"""Read CSV and TSV as Excel and the csv module write them, with quoted line ends."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from valence_client.cli.reading.lines import read_lines
from valence_client.cli.reading.opening import is_regular, open_content
from valence_client.cli.reading.quoting import HEAD_BYTES, literal_line, read_head
from valence_client.cli.reading.records import (
    UNQUOTED,
    Dialect,
    Record,
    look_like_rows,
    read_records,
)
from valence_client.cli.reading.row import FileError, Row, choose_column, distinct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal, TypeAlias

    from valence_client.cli.reading.lines import Line

    Quoting: TypeAlias = Literal["csv", "none"]

OTHER_DELIMITERS = ";\t|,"
# Excel's own line before the header.
_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """The options of CSV and TSV. What is None is chosen by what the file holds."""

    column: str | None = None
    delimiter: str | None = None
    quoting: Quoting | None = None
    escape: str | None = None
    encoding: str | None = None


class Table:
    """A table whose first record names its columns."""

    def __init__(
        self, lines: Iterator[Line], *, name: str, dialect: Dialect, column: str | None
    ) -> None:
        """Read the header. Raise FileError if it is missing, bad or lacks the column."""
        self._records = read_records(lines, dialect, name=name)
        header = next(self._records, None)
        if header is None:
            raise FileError(f"{name} is empty: its first line should name the columns")
        if header.problem:
            raise FileError(f"{name}: its first line {header.problem}")
        self.header = tuple(header.cells)
        self.columns = distinct(self.header)
        found = [d for d in OTHER_DELIMITERS if d != dialect.delimiter and d in self.header[0]]
        if len(self.header) == 1 and found and column != self.header[0]:
            raise FileError(
                f"{name} has one column, {self.header[0]!r}: if {found[0]!r} stands between "
                "columns, say so with --delimiter"
            )
        self._index = choose_column(self.header, column, name=name)
        named = [n for n, column in enumerate(self.header, start=1) if column.strip()]
        self._named = max(named, default=0)
        self._dialect = dialect
        self._short_noted = self._doubt_noted = False

    def rows(self) -> Iterator[Row]:
        """Yield each record after the header."""
        width = len(self.columns)
        for record in self._records:
            cells = record.cells
            missing = width - len(cells)
            fits = not any(cells[width:]) if missing < 0 else self._may_lack(missing)
            columns = dict(zip(self.columns, cells + [""] * missing, strict=False))
            problem = record.problem
            if not fits and not problem:
                problem = f"has {len(cells)} cells, the header {width}{_extent(record)}"
            text = columns[self.columns[self._index]]
            note = "" if problem else self._note(record)
            yield Row(record.number, record.position, columns, text, problem, note=note)

    def _note(self, record: Record) -> str:
        """Return what to say of a record that is read, once for each reason."""
        if len(record.cells) < self._named and not self._short_noted:
            self._short_noted = True
            return "lacks its last cell: it is read as empty, here and in later rows"
        doubtful = look_like_rows(record.lines, self._dialect, width=len(self.columns))
        if doubtful and not self._doubt_noted:
            self._doubt_noted = True
            return (
                f"and those to {record.lines[-1].number} are one row, held together by quotes, "
                f"though each looks like a row: {UNQUOTED}"
            )
        return ""

    def _may_lack(self, cells: int) -> bool:
        """Return whether a row without so many last cells leaves no doubt about its text."""
        present = len(self.columns) - cells
        return self._index < present and (cells <= 1 or present >= self._named)


def _extent(record: Record) -> str:
    """Return where a record of several lines ends, in case its quotes should not hold it."""
    if not record.lines:
        return ""
    return f" (in quotes to line {record.lines[-1].number}: {UNQUOTED})"


def read_table(
    lines: Iterator[Line], path: str, kind: Literal["csv", "tsv"], options: TableOptions, name: str
) -> tuple[Table, tuple[str, ...]]:
    """Return the table in these lines of the file, and notes for the user. Raise FileError."""
    lines, separator = _without_separator(lines)
    delimiter = options.delimiter or separator or ("\t" if kind == "tsv" else ",")
    if options.escape == delimiter:
        raise FileError(f"{name}: --escape-character and the delimiter are both {delimiter!r}")
    dialect = Dialect(delimiter, options.quoting != "none", options.escape)
    notes: tuple[str, ...] = ()
    if kind == "tsv" and options.quoting is None:
        lines, dialect, notes = _judged(lines, path, dialect, options, name)
    return Table(lines, name=name, dialect=dialect, column=options.column), notes


def _without_separator(lines: Iterator[Line]) -> tuple[Iterator[Line], str | None]:
    """Return the lines without Excel's ``sep=;``, and the delimiter that it gives."""
    first = next(lines, None)
    if first is None:
        return lines, None
    found = _SEPARATOR.fullmatch(first.text)
    if found is not None:
        return lines, found[1]
    return itertools.chain([first], lines), None


def _judged(
    lines: Iterator[Line], path: str, dialect: Dialect, options: TableOptions, name: str
) -> tuple[Iterator[Line], Dialect, tuple[str, ...]]:
    """Return the lines, the dialect that their quotes suggest, and what to say about it."""
    assumed = ""
    if is_regular(path):
        with open_content(path, encoding=options.encoding) as content:
            again, _ = _without_separator(read_lines(content.file))
            literal = literal_line(again, dialect, name=name)
    else:
        head = read_head(lines)
        lines = itertools.chain(head.lines, lines)
        literal = literal_line(iter(head.lines), dialect, name=name, whole=head.whole)
        if not head.whole:
            assumed = f", judged by its first {HEAD_BYTES} bytes"
    if literal is not None:
        note = (
            f"{name}: a quote in line {literal} does not enclose a cell, so quotes are read as "
            f"characters{assumed}: --quoting csv reads quoted cells"
        )
        return lines, replace(dialect, quoted=False), (note,)
    note = f"{name}: cells may be quoted{assumed}: --quoting none reads quotes as characters"
    return lines, dialect, (note,) if assumed else ()
