"""What is said on stderr while rows go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from valence_client.errors import ValenceError

SHOWN = 20


class Report:
    """Says the first troubles and counts the others."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.count = 0
        self._name = name
        self._say = say

    def add(self, trouble: ValenceError | str) -> None:
        """A row has a trouble, which says where the row is."""
        self.count += 1
        if self.count <= SHOWN:
            self._say(f"{self._name}: {trouble}" if self._name else str(trouble))

    def end(self) -> None:
        """Say how many there were that were not shown."""
        if self.count > SHOWN:
            self._say(f"and {self.count - SHOWN} more like these")
