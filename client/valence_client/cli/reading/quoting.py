"""Decide whether cells of a TSV may be in quotes: some programs write them so, some do not."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from valence_client.cli.reading.records import Dialect, Feed, look_like_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valence_client.cli.reading.lines import Line

# How much of a pipe is read before its first row is answered.
HEAD_BYTES = 64 << 10


@dataclass
class Head:
    """The first lines of an input that can be read only once."""

    lines: list[Line]
    whole: bool
    """Whether they are all of it."""


def read_head(lines: Iterator[Line]) -> Head:
    """Read HEAD_BYTES of lines, or all if they are fewer."""
    head: list[Line] = []
    for line in lines:
        head.append(line)
        if line.position >= HEAD_BYTES:
            return Head(head, whole=False)
    return Head(head, whole=True)


def literal_line(
    lines: Iterator[Line], dialect: Dialect, *, name: str, whole: bool = True
) -> int | None:
    """Return the number of a line whose quotes are characters of the text, None if there is none.

    Quotes hold cells together if each closes at the end of its cell and its record then has as
    many cells as the header, while its lines alone do not have them all. ``whole``: whether the
    lines are the whole input.
    """
    feed = Feed(lines, name=name)
    reader = feed.reader(replace(dialect, quoted=True))
    width = 0
    while True:
        feed.begin()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if "new-line character" in str(error):
                continue  # so it is without quotes, too
            if "unexpected end" in str(error) and not whole:
                return None
            return feed.taken[0].number
        if cells is None:
            return None
        width = width or len(cells)
        if not any('"' in line.text for line in feed.taken):
            continue
        fits = len(cells) >= width and not any(cells[width:])
        if not fits or look_like_rows(feed.taken, dialect, width=width):
            return feed.taken[0].number
