"""The rows and sources that every format is read into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LISTED_NAMES = 30


class FileError(Exception):
    """A whole file cannot be read or continued. The message names it and says what to do."""


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


def choose_column(columns: Sequence[str], given: str | None, *, name: str) -> str:
    """Return the column with the texts. Raise FileError, which lists the columns."""
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise FileError(f"{name}: two columns are called {twice!r}: rename one")
    if given is not None and given in columns:
        return given
    if given is not None:
        raise FileError(f"{name} has no column {given!r}; it has {listed(columns)}")
    if len(columns) == 1:
        return columns[0]
    if "text" in columns:
        return "text"
    raise FileError(
        f"{name} has no column 'text': say which holds the texts with --column; "
        f"it has {listed(columns)}"
    )


def listed(names: Iterable[str]) -> str:
    """Return the names for a message; only the first ones if there are many."""
    shown = list(names)
    more = len(shown) - LISTED_NAMES
    return ", ".join(shown[:LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
