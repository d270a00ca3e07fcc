"""The standard streams, of which some may be closed or full."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDERR = 2


def prepare() -> None:
    """Keep a closed or full stderr from failing the command.

    Call this before anything opens a file: while a stream is closed, the file would get its number,
    and messages would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest free number, and that is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    encoding = sys.stderr.encoding if sys.stderr else "utf-8"
    # A name that the terminal cannot show must not fail the command.
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Lossy(_STDERR, "w", closefd=False)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
    )


class _Lossy(io.FileIO):
    """Drops what cannot be written: there is no other place to report it."""

    def write(self, content: ReadableBuffer) -> int:
        try:
            return super().write(content) or 0
        except OSError:
            return len(memoryview(content))
