"""The bearer token of each call, from a string, a file or a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Token: TypeAlias = str | Path | Callable[[], str]
"""A token, the path of its file, or a function that returns it."""

Metadata: TypeAlias = tuple[tuple[str, str], ...]


def bearer(token: Token | None) -> Callable[[], Metadata]:
    """Return a function that returns a call's metadata. Both raise ValueError, OSError."""
    if token is None:
        return tuple
    if isinstance(token, str):
        metadata = _metadata(token)
        return lambda: metadata
    if isinstance(token, Path):
        return _TokenFile(token).metadata
    return lambda: _metadata(token())


class _TokenFile:
    """Reads the file again when it has changed. Strips white space around the token."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._metadata: Metadata = ()
        self.metadata()

    def metadata(self) -> Metadata:
        now = self._path.stat()
        seen = (now.st_ino, now.st_size, now.st_mtime_ns)
        if seen != self._seen:
            token = self._path.read_text(encoding="ascii", errors="replace").strip()
            self._metadata = _metadata(token, str(self._path))
            self._seen = seen
        return self._metadata


def _metadata(token: str, where: str = "token") -> Metadata:
    if not (token.isascii() and token.isprintable() and len(token.split()) == 1):
        raise ValueError(f"{where}: give one token, printable ASCII without spaces")
    return (("authorization", f"Bearer {token}"),)
