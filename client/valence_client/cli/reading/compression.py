"""Compressed files: gzip, and Zstandard if Python or the extra has it."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, cast

from valence_client.cli.reading.row import FileError

if TYPE_CHECKING:
    from types import ModuleType

    from _typeshed import WriteableBuffer

Compression: TypeAlias = Literal["gzip", "zstd"]

_BY_SUFFIX: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
_BY_MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def split_name(path: str) -> tuple[str, Compression | None]:
    """Return the name without the end of a compression, and that compression."""
    kind = _BY_SUFFIX.get(Path(path).suffix.lower())
    return (path if kind is None else str(Path(path).with_suffix(""))), kind


def compression_of(head: bytes) -> Compression | None:
    """Return the compression of a file that begins with ``head``."""
    return next((kind for magic, kind in _BY_MAGIC.items() if head.startswith(magic)), None)


def reader(file: BinaryIO, kind: Compression, *, name: str) -> io.BufferedReader:
    """Return the uncompressed content. Reading raises FileError if the file is damaged."""
    if kind == "gzip":
        return io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=file), name, zlib.error))
    zstd = _zstd(name)
    return io.BufferedReader(_Unpacked(zstd.ZstdFile(file), name, zstd.ZstdError))


def writer(file: BinaryIO, kind: Compression, *, name: str) -> BinaryIO:
    """Return a file whose content goes compressed into ``file``, whole once it is closed."""
    compressed = gzip.GzipFile(fileobj=file, mode="wb", mtime=0) if kind == "gzip" else None
    # A buffer of its own: flushing it does not flush the compression, which would cost its effect.
    return io.BufferedWriter(cast("io.RawIOBase", compressed or _zstd(name).ZstdFile(file, "w")))


class _Unpacked(io.RawIOBase):
    """Raises FileError for damage."""

    def __init__(self, file: io.BufferedIOBase, name: str, error: type[Exception]) -> None:
        self._file = file
        self._name = name
        self._errors = (error, OSError, EOFError)
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        try:
            content = self._file.read1(len(memoryview(buffer)))
        except self._errors as error:
            raise FileError(
                f"{self._name} is damaged after {self._bytes} uncompressed bytes: {error}"
            ) from None
        memoryview(buffer)[: len(content)] = content
        self._bytes += len(content)
        return len(content)


def _zstd(name: str) -> ModuleType:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ModuleNotFoundError:
        raise FileError(
            f'{name} is compressed with Zstandard: pip install "valence-client[zstd]"'
        ) from None
    return zstd
