"""The rows and sources that every format is read into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

LISTED_NAMES = 30


class FileError(Exception):
    """A whole file cannot be read or continued. The message names it and says what to do."""


class Number(float):
    """A number of JSON, with the digits that a float may lose."""

    __slots__ = ("written",)

    def __new__(cls, written: str) -> Self:
        """Take the number as it is written."""
        number = super().__new__(cls, written)
        number.written = written
        return number

    written: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input. It has one record in the output, even if it is bad."""

    number: int
    """The number of its line, or in Parquet of its row; the first is 1."""
    position: int
    """How much of the input ends with this row, in the unit of ``Source.total``."""
    columns: dict[str, Any]
    """The input's columns, which the output repeats."""
    text: str = ""
    problem: str = ""
    """Why there is no text to classify; empty if there is one."""
    json: str = ""
    """The columns as the JSON object of the input; empty for other formats."""
    note: str = ""
    """What the user should know of a row that is classified."""


@dataclass(frozen=True, slots=True)
class Source:
    """An open input."""

    name: str
    total: int | None
    """The number of its bytes, or in Parquet of its rows, for the progress bar; None if unknown."""
    columns: tuple[str, ...] | None
    """The columns of every row. In JSONL those of the first row, or None if it is not an object."""
    rows: Iterator[Row]
    unit: str = "line"
    """The unit that ``Row.number`` counts."""
    header: tuple[str, ...] = ()
    """The names of the columns as the input has them, if some are equal."""
    marked: bool = False
    """Whether it began with a byte order mark."""
    notes: tuple[str, ...] = ()
    """What the user should know before the first row."""


def choose_column(columns: Sequence[str], given: str | None, *, name: str) -> int:
    """Return the index of the column with the texts. Raise FileError, which lists the columns.

    A name that differs in blanks around it or in case counts if none is equal.
    """
    if given is None and len(columns) == 1:
        return 0
    wanted = "text" if given is None else given
    for alike in (str, str.strip, _folded):
        found = [n for n, column in enumerate(columns) if alike(column) == alike(wanted)]
        if len(found) > 1:
            called = " or ".join(sorted({repr(columns[n]) for n in found}))
            raise FileError(
                f"{name}: {len(found)} columns are called {called}: rename those without the texts"
            )
        if found:
            return found[0]
    if given is not None:
        raise FileError(f"{name} has no column {given!r}; it has {listed(columns)}")
    raise FileError(
        f"{name} has no column 'text': say which holds the texts with --column; "
        f"it has {listed(columns)}"
    )


def distinct(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the names, each with a number where it occurs again: ``n``, ``n_2``."""
    names: list[str] = []
    for column in columns:
        name, count = column, 1
        while name in names or (count > 1 and name in columns):
            count += 1
            name = f"{column}_{count}"
        names.append(name)
    return tuple(names)


def listed(names: Iterable[str]) -> str:
    """Return the names for a message; only the first ones if there are many."""
    shown = list(names)
    more = len(shown) - LISTED_NAMES
    return ", ".join(shown[:LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")


def _folded(name: str) -> str:
    return name.strip().casefold()
