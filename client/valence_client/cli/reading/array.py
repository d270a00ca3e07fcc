"""Read a JSON array, one item at a time."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING

from valence_client.cli.reading.lines import MAX_LINE_BYTES, Line
from valence_client.cli.reading.row import FileError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

_CHUNK_BYTES = 64 << 10
_BLANK = " \t\n\r"
_BLANKS = re.compile(f"[{_BLANK}]*")
# Strings cannot hold a line end, so each one is between the tokens.
_LINE_ENDS = re.compile(r"[\r\n][ \t\r\n]*")


def is_array(file: io.BufferedReader) -> bool:
    """Return whether the file begins like an array."""
    return file.peek().lstrip(_BLANK.encode()).startswith(b"[")


def read_items(file: io.BufferedReader, *, name: str) -> Iterator[Line]:
    """Yield each item as a line of JSON, as it was written. Its number is its place.

    Raise FileError where the array is broken, or an item is longer than MAX_LINE_BYTES characters.
    """
    array = _Array(file, name)
    array.expect("[")
    closed = array.peek() == "]"
    number = 0
    while not closed:
        number += 1
        item = array.item(number)
        yield Line(number, array.position, _LINE_ENDS.sub(" ", item))
        closed = array.peek() == "]"
        if not closed:
            array.expect(",", after=number)
    array.expect("]")
    if array.peek():
        raise FileError(f"{name} has more than its array: put an object in each line of a .jsonl")


class _Array:
    """The text that is read and not yet parsed."""

    def __init__(self, file: io.BufferedReader, name: str) -> None:
        self.position = 0
        """The number of bytes read."""
        self._file = file
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        # As floats, since Python refuses to convert a very long integer.
        self._parse = json.JSONDecoder(parse_int=float).raw_decode
        self._text = ""
        self._begin = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is not blank, or an empty string at the end."""
        while True:
            found = _BLANKS.match(self._text, self._begin)
            self._begin = found.end() if found else self._begin
            if self._begin < len(self._text) or self._ended:
                return self._text[self._begin : self._begin + 1]
            self._read(_CHUNK_BYTES)

    def expect(self, character: str, *, after: int = 0) -> None:
        """Skip the character. Raise FileError if another one is next."""
        if self.peek() != character:
            where = f" after item {after}" if after else ""
            raise FileError(f"{self._name} is not a JSON array: {character!r} is missing{where}")
        self._begin += 1

    def item(self, number: int) -> str:
        """Return the next value as it is written."""
        self.peek()
        what = "is not JSON"
        while True:
            problem = ""
            try:
                _, end = self._parse(self._text, self._begin)
            except (ValueError, RecursionError) as error:
                end, problem = len(self._text), str(error)
            # A number that ends with the text may go on.
            if self._ended or end < len(self._text):
                break
            unparsed = len(self._text) - self._begin
            if unparsed > MAX_LINE_BYTES:
                what = f"is longer than {MAX_LINE_BYTES} characters, or not JSON"
                break
            # Twice as much each time, so that a long item is not parsed too often.
            self._read(max(unparsed, _CHUNK_BYTES))
        if problem:
            raise FileError(f"{self._name}: item {number} {what}: {problem}")
        begin, self._begin = self._begin, end
        return self._text[begin:end]

    def _read(self, size_bytes: int) -> None:
        content = self._file.read(size_bytes)
        self.position += len(content)
        self._ended = not content
        try:
            added = self._decoder.decode(content, self._ended)
        except UnicodeDecodeError:
            raise FileError(
                f"{self._name} is not UTF-8 before byte {self.position}: --encoding names another"
            ) from None
        self._text = self._text[self._begin :] + added
        self._begin = 0
