"""Read the records of CSV and TSV with the csv module, without one that swallows others."""

from __future__ import annotations

import csv
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from valence_client.cli.reading.lines import MAX_LINE_BYTES
from valence_client.cli.reading.row import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from valence_client.cli.reading.lines import Line

UNQUOTED = "--quoting none reads quotes as characters"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are told apart."""

    delimiter: str
    quoted: bool = True
    """Whether a cell may be in quotes."""
    escape: str | None = None
    """The character that takes the meaning from the one after it."""


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of a line, or of several if a line end is within quotes."""

    number: int
    """The number of the line where it begins."""
    position: int
    """How many bytes of the input end with it."""
    cells: list[str]
    problem: str = ""
    lines: tuple[Line, ...] = ()
    """Its lines, if it has several."""


def look_like_rows(lines: Sequence[Line], dialect: Dialect, *, width: int) -> bool:
    """Return whether a record has several lines, each with as many cells as the header.

    That is rare where the quotes around them are meant, and usual where they are not. A delimiter
    before a blank is the comma of a sentence.
    """
    delimiters, comma = width - 1, dialect.delimiter + " "
    return (
        len(lines) > 1
        and delimiters > 0
        and all(
            line.text.count(dialect.delimiter) == delimiters and comma not in line.text
            for line in lines
        )
    )


class Feed:
    """Feeds lines to a csv reader, and takes those back that it should not have read."""

    def __init__(self, lines: Iterator[Line], *, name: str) -> None:
        """Feed these lines. ``name``: the input, for messages."""
        self.taken: list[Line] = []
        """The lines of the record that is being read."""
        self._lines = lines
        self._name = name
        self._again: deque[Line] = deque()

    def reader(self, dialect: Dialect) -> Iterator[list[str]]:
        """Return a reader of the lines. It raises csv.Error for a quote that closes within a cell.

        After an error, it goes on with the line that the feed gives next.
        """
        # A cell may be longer than csv's own limit: the server refuses it with its own limit in
        # the message. A cell that exceeds even this limit has a quote that is left open.
        csv.field_size_limit(MAX_LINE_BYTES)
        return csv.reader(
            self,
            delimiter=dialect.delimiter,
            quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
            escapechar=dialect.escape,
            strict=True,
        )

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        if not line.whole:
            raise FileError(f"{self._name}:{line.number} {line.problem}")
        self.taken.append(line)
        return line.text

    def begin(self) -> None:
        """Begin a record with the next line."""
        self.taken.clear()

    def keep_first(self) -> Line:
        """Return the record's first line, and feed the others again."""
        first, *others = self.taken
        # They hold no quote that is left open, or this one would have ended there. So a line is
        # fed again only once.
        self._again.extendleft(reversed(others))
        return first


def read_records(lines: Iterator[Line], dialect: Dialect, *, name: str) -> Iterator[Record]:
    """Yield each record. Blank lines are skipped.

    A record whose quotes are not well closed has a problem, and is only its first line: the lines
    after it are records of their own. Raise FileError for a line that is too long.
    """
    feed = Feed(lines, name=name)
    reader = feed.reader(dialect)
    while True:
        feed.begin()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problem = _problem(str(error), feed.taken, dialect)
            first = feed.keep_first()
            cells = first.text.rstrip("\r\n").split(dialect.delimiter)
            yield Record(first.number, first.position, cells, problem)
            continue
        if cells is None:
            return
        if cells:
            problem = next((line.problem for line in feed.taken if line.problem), "")
            first, last = feed.taken[0], feed.taken[-1]
            several = tuple(feed.taken) if first is not last else ()
            yield Record(first.number, last.position, cells, problem, several)


def _problem(error: str, lines: list[Line], dialect: Dialect) -> str:
    """Word an error of the csv module."""
    if "new-line character" in error:
        return "has a carriage return outside of quotes"
    if not dialect.quoted:
        return f"cannot be parsed: {error}"
    if dialect.escape is None and any('\\"' in line.text for line in lines):
        return "has quotes after a backslash: --escape-character '\\' reads them"
    if "expected after" in error:
        last = lines[-1].number
        where = f" in line {last}" if last != lines[0].number else ""
        return f"has a quote that closes{where} before its cell ends: {UNQUOTED}"
    if "field limit" in error:
        return f"has a quote that is left open for {MAX_LINE_BYTES} characters: {UNQUOTED}"
    return f"has a quote that is left open to the file's end: {UNQUOTED}"
