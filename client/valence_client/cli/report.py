"""The errors of rows on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from valence_client.errors import ValenceError

SHOWN = 20


class Report:
    """Prints the first errors and counts the others."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        """Print with ``say``. ``name``: the file, empty if there is none."""
        self.count = 0
        self._name = name
        self._say = say

    def add(self, error: ValenceError | str) -> None:
        """Count an error, which names its row, and print it if it is among the first."""
        self.count += 1
        if self.count <= SHOWN:
            self._say(f"{self._name}: {error}" if self._name else str(error))

    def end(self) -> None:
        """Print how many errors were not shown."""
        if self.count > SHOWN:
            self._say(f"and {self.count - SHOWN} more like these")
