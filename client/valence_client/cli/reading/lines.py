"""Read lines: those of any text format, and the format whose rows are lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from valence_client.cli.reading.opening import UTF_8
from valence_client.cli.reading.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

# Twice the largest text limit that a server can have. A longer line means another kind of file, and
# would be held in memory.
MAX_LINE_BYTES = 32 << 20
SHOWN_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end, decoded as far as possible."""

    number: int
    position: int
    """The number of bytes up to its end."""
    text: str
    problem: str = ""
    whole: bool = True
    """False if it is longer than MAX_LINE_BYTES; then the text is its beginning."""


def read_lines(file: BinaryIO, *, encoding: str = UTF_8) -> Iterator[Line]:
    """Yield each line. LF ends a line; CR does so only in a file without LF.

    ``encoding``: that of the file before it became UTF-8, for messages.
    """
    position = number = 0
    while content := file.readline(MAX_LINE_BYTES):
        too_long = len(content) == MAX_LINE_BYTES and not content.endswith(b"\n")
        if number == 0 and not too_long and b"\n" not in content and b"\r" in content[:-1]:
            yield from _ended_by_carriage_returns(content, encoding)
            return
        position += len(content)
        number += 1
        rest = content
        while too_long and rest and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES)
            position += len(rest)
        text, problem = _decoded(content, encoding)
        if too_long:
            problem = f"is longer than {MAX_LINE_BYTES} bytes"
            text = text[:SHOWN_CHARACTERS]
        yield Line(number, position, text, problem, not too_long)


def read_plain(lines: Iterator[Line]) -> Iterator[Row]:
    """Yield a row for each line, blank ones too: the k-th record is that of the k-th line."""
    for line in lines:
        text = line.text.removesuffix("\n").removesuffix("\r")
        yield Row(line.number, line.position, {"text": text}, text, line.problem)


def _ended_by_carriage_returns(content: bytes, encoding: str) -> Iterator[Line]:
    """Yield the lines of a whole file as old Macs wrote it, each with LF for its CR."""
    position = 0
    for number, line in enumerate(content.removesuffix(b"\r").split(b"\r"), start=1):
        position += len(line) + 1
        text, problem = _decoded(line, encoding)
        yield Line(number, min(position, len(content)), text + "\n", problem)


def _decoded(content: bytes, encoding: str) -> tuple[str, str]:
    """Return the text, and its problem or an empty string."""
    try:
        return content.decode(), ""
    except UnicodeDecodeError as error:
        where = f": byte {error.start + 1} of the line" if encoding == UTF_8 else ""
        problem = f"is not {encoding}{where} (--encoding names another)"
        return content.decode(errors="replace"), problem
