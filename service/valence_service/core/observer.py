"""What can be told of the engine's work, in plain facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class TextCounters:
    """What became of the texts that were queued. The event loop counts, any thread may read."""

    answered: int = 0
    failed: int = 0
    """The model failed on them."""
    dropped: int = 0
    """They left the queue uncomputed: nobody waited any more, or it was too late, or the end."""
    wasted: int = 0
    """They were computed, and nobody waited any more."""


class Observer(Protocol):
    """Is told of each batch, on the event loop: it must be quick, and not raise."""

    def computed(self, waits: Sequence[float], seconds: float) -> None:
        """A batch was computed in so many seconds, after its texts had waited so long each."""


class NoObserver:
    """Is told, and does nothing."""

    def computed(self, waits: Sequence[float], seconds: float) -> None:
        """Nothing."""
