"""Whether files have changed since they were read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

Fingerprint: TypeAlias = tuple[tuple[int, int, int], ...]


def fingerprint(*paths: Path) -> Fingerprint:
    """Return a value that changes once one of the files is written or replaced. Raise OSError."""
    stats = [path.stat() for path in paths]
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)
