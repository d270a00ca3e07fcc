"""Whether the service is ready for calls: set by the lifecycle, read by health and metrics."""

from __future__ import annotations

import asyncio


class Readiness:
    """Ready or not, and whether the service is ending. Belongs to one event loop."""

    def __init__(self) -> None:
        self.serving = False
        self.ending = False
        """From here on, whatever a client leaves open ends."""
        self.changed = asyncio.Event()
        """Set at the next change, and then replaced by a new event."""

    def set(self, *, serving: bool) -> None:
        """Become ready, or stop being so."""
        self.serving = serving
        self._notify()

    def end(self) -> None:
        """Begin to end."""
        self.ending = True
        self._notify()

    def _notify(self) -> None:
        # A waiter holds the old event, and a newcomer gets the new one: nobody misses a change.
        self.changed.set()
        self.changed = asyncio.Event()
