"""What the scheduler reports of its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class TextCounters:
    """Texts that were queued, by outcome. The event loop counts, any thread may read."""

    answered: int = 0
    failed: int = 0
    """The model failed on them."""
    dropped: int = 0
    """They left the queue uncomputed: their callers left, they were late or the server ended."""
    wasted: int = 0
    """They were computed after their callers had left."""


class Observer(Protocol):
    """Observes each batch, on the event loop: it must be quick, and not raise."""

    def computed(self, waits: Sequence[float], seconds: float) -> None:
        """Observe a batch: the seconds that each text waited, and that the computation took."""


class NoObserver:
    """Observes nothing."""

    def computed(self, waits: Sequence[float], seconds: float) -> None:
        """Do nothing."""
