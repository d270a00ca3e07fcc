"""What the lifecycle asks of every transport."""

from __future__ import annotations

from typing import Protocol


class CannotListen(Exception):
    """The address cannot be listened on; the message says why and what to do."""


class Transport(Protocol):
    """Carries the service over one protocol."""

    async def start(self) -> None:
        """Take connections."""

    def end_idle(self) -> None:
        """End what clients leave open without a request under way."""

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls; cut off those that have not ended within the grace."""
