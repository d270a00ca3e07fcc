"""Open the content of a text format: uncompressed, as UTF-8, without a byte order mark."""

from __future__ import annotations

import codecs
import io
import os
import stat
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from valence_client.cli.reading import compression
from valence_client.cli.reading.row import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

STDIN = "-"
UTF_8 = "UTF-8"
_CHUNK_BYTES = 64 << 10
# The longer ones first: UTF-32's begins like UTF-16's.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF8: UTF_8,
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_NOT_TEXT = {
    b"PK\x03\x04": "a zip archive, as .xlsx is: save the sheet as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an .xls file: save the sheet as CSV",
    b"PAR1\x15": "Parquet: add --format parquet",
    b"\xfd7zXZ\x00": "compressed with xz: unpack it first, as with `xz -d`",
}
_UNDECODABLE = "valence.undecodable"
# No UTF-8 holds the byte FF, so the row with an undecodable character is refused.
codecs.register_error(_UNDECODABLE, lambda error: ("\udcff", cast("UnicodeDecodeError", error).end))


@dataclass(frozen=True, slots=True)
class Content:
    """An open input."""

    file: io.BufferedReader
    size_bytes: int | None
    """None if it is not known, as of a pipe."""
    encoding: str
    marked: bool
    """Whether it began with a byte order mark."""


def name_of(path: str) -> str:
    """Return the input's name for messages."""
    return "stdin" if path == STDIN else path


def is_regular(path: str) -> bool:
    """Return whether the path is a file that can be read twice."""
    return path != STDIN and Path(path).is_file()


@contextmanager
def open_content(path: str, *, encoding: str | None) -> Iterator[Content]:
    """Open a file, or stdin for ``-``. Raise FileError.

    A byte order mark decides the encoding, else ``encoding``, else it is UTF-8.
    """
    if path == STDIN and sys.stdin is None:
        raise FileError("stdin is closed: give a --file")
    try:
        opened = sys.stdin.buffer if path == STDIN else Path(path).open("rb")  # noqa: SIM115
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        yield _decoded(cast("io.BufferedReader", opened), name_of(path), encoding)
    finally:
        if path != STDIN:
            opened.close()


def _decoded(file: io.BufferedReader, name: str, encoding: str | None) -> Content:
    status = os.fstat(file.fileno())
    size_bytes = status.st_size if stat.S_ISREG(status.st_mode) else None
    packed = compression.compression_of(file.peek())
    if packed is not None:
        file, size_bytes = compression.reader(file, packed, name=name), None
    head = file.peek()
    mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
    found = _MARKS.get(mark) or encoding or UTF_8
    if not mark:
        _refuse_others(head, name, encoding)
    if codecs.lookup(found).name == "utf-8":
        file.read(len(mark))
        return Content(file, size_bytes, UTF_8, bool(mark))
    recoded = io.BufferedReader(_Recoded(file, found), _CHUNK_BYTES)
    return Content(cast("io.BufferedReader", recoded), None, found, bool(mark))


def _refuse_others(head: bytes, name: str, encoding: str | None) -> None:
    """Raise FileError if the content is not text, or UTF-16 without a mark."""
    for magic, what in _NOT_TEXT.items():
        if head.startswith(magic):
            raise FileError(f"{name} is {what}")
    if b"\0" in head[:4] and encoding is None:
        likely = "utf-16-be" if head.startswith(b"\0") else "utf-16-le"
        raise FileError(
            f"{name} begins with NUL bytes: if it is UTF-16, say so with --encoding {likely}"
        )


class _Recoded(io.RawIOBase):
    """The content as UTF-8, with the byte FF for each undecodable character."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = cast("io.BufferedReader", file)
        self._decoder = codecs.getincrementaldecoder(encoding)(_UNDECODABLE)
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._ready and not self._ended:
            content = self._file.read1(_CHUNK_BYTES)
            self._ended = not content
            text = self._decoder.decode(content, self._ended)
            self._ready = text.encode(errors="surrogateescape")
        size_bytes = min(len(self._ready), len(memoryview(buffer)))
        memoryview(buffer)[:size_bytes] = self._ready[:size_bytes]
        self._ready = self._ready[size_bytes:]
        return size_bytes
