"""The protocol between the scheduler and the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class TextCounters:
    """What became of queued texts. The event loop counts; any thread may read."""

    answered: int = 0
    failed: int = 0
    """The model failed on them."""
    dropped: int = 0
    """They left the queue uncomputed: the client had gone, or it was too late, or the end."""
    wasted: int = 0
    """They were computed, and the client had gone."""


class Observer(Protocol):
    """Observes each batch, on the event loop: it must be quick, and not raise."""

    def computed(self, waits: Sequence[float], seconds: float) -> None:
        """Note a batch: how long each of its texts waited, and how long it took to compute."""


class NoObserver:
    """Ignores them."""

    def computed(self, waits: Sequence[float], seconds: float) -> None:
        """Do nothing."""
