"""What every format is read into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LISTED_NAMES = 30


class FileError(Exception):
    """A file cannot be read or continued as a whole. The message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input: it has one record in the output, whatever is wrong with it."""

    number: int
    """Its line, or in Parquet its row; the first is 1."""
    position: int
    """How much of the input has been read after it, in the unit of ``Source.total``."""
    columns: dict[str, Any]
    """What the input says, which the output repeats."""
    text: str = ""
    problem: str = ""
    """Why there is no text to classify; empty where there is one."""
    json: str = ""
    """The columns as a JSON object just as it was written, where it was."""


@dataclass(frozen=True, slots=True)
class Source:
    """An open input."""

    name: str
    total: int | None
    """Its bytes, or in Parquet its rows, for the progress bar; None where nobody knows."""
    columns: tuple[str, ...] | None
    """Of every row; in JSONL of the first, and None where that one is no object."""
    rows: Iterator[Row]
    unit: str = "line"
    """What ``Row.number`` counts."""


def choose_column(columns: Sequence[str], asked: str | None, *, name: str) -> str:
    """The column with the texts. Raises FileError, which lists those that there are."""
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise FileError(f"{name}: two columns are called {twice!r}: rename one")
    if asked is not None and asked in columns:
        return asked
    if asked is not None:
        raise FileError(f"{name} has no column {asked!r}; it has {listed(columns)}")
    if len(columns) == 1:
        return columns[0]
    if "text" in columns:
        return "text"
    raise FileError(
        f"{name} has no column 'text': say which holds the texts with --column; "
        f"it has {listed(columns)}"
    )


def listed(names: Iterable[str]) -> str:
    """Names for a message, the first of them where there are very many."""
    shown = list(names)
    more = len(shown) - LISTED_NAMES
    return ", ".join(shown[:LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
