"""Read lines: those of any text format, and the format whose rows are lines."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from valence_client.cli.reading.row import FileError, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

# Twice the largest text limit that a server can have. A longer line means another kind of file, and
# would be held in memory.
MAX_LINE_BYTES = 32 << 20
SHOWN_CHARACTERS = 1000
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end, decoded as far as possible."""

    number: int
    position: int
    """The number of bytes up to its end."""
    text: str
    problem: str
    whole: bool = True
    """False if it is longer than MAX_LINE_BYTES; then the text is its beginning."""


def read_lines(file: BinaryIO, *, name: str) -> Iterator[Line]:
    """Yield each line. Only LF ends a line. Raise FileError if the file is UTF-16."""
    position = number = 0
    while content := file.readline(MAX_LINE_BYTES):
        position += len(content)
        number += 1
        too_long = len(content) == MAX_LINE_BYTES and not content.endswith(b"\n")
        rest = content
        while too_long and rest and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES)
            position += len(rest)
        if number == 1:
            if content.startswith(_UTF_16):
                raise FileError(
                    f"{name} is UTF-16: make it UTF-8 first, as with `iconv -f UTF-16 -t UTF-8`"
                )
            content = content.removeprefix(codecs.BOM_UTF8)
        text, problem = _decoded(content)
        if too_long:
            problem = f"is longer than {MAX_LINE_BYTES} bytes"
            text = text[:SHOWN_CHARACTERS]
        yield Line(number, position, text, problem, not too_long)


def read_plain(file: BinaryIO, *, name: str) -> Iterator[Row]:
    """Yield a row for each line, blank ones too: the k-th record is that of the k-th line."""
    for line in read_lines(file, name=name):
        text = line.text.removesuffix("\n").removesuffix("\r")
        yield Row(line.number, line.position, {"text": text}, text, line.problem)


def _decoded(content: bytes) -> tuple[str, str]:
    """Return the text, and its problem or an empty string."""
    try:
        return content.decode(), ""
    except UnicodeDecodeError as error:
        return content.decode(errors="replace"), f"is not UTF-8: byte {error.start + 1} of the line"
