"""Tell a batch that hangs from one that takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valence_service.scheduler.estimate import ThroughputEstimate

# A batch may take this many times the seconds that the throughput foresees for it.
HANG_FACTOR = 8.0
# A hang ends after this many times hang_seconds, however long the batch was foreseen to take.
MAX_HANG_FACTOR = 10.0


class HangLimit:
    """The time that a batch may take: hang_seconds, or longer if the model is that slow."""

    def __init__(self, hang_seconds: float, estimate: ThroughputEstimate) -> None:
        """Foresee a batch by the estimate."""
        self.hang_seconds = hang_seconds
        self.max_seconds = MAX_HANG_FACTOR * hang_seconds
        self._estimate = estimate

    def seconds_for(self, tokens: int) -> float:
        """Return the seconds that one replica may take for so many tokens."""
        foreseen = HANG_FACTOR * self._estimate.replica_seconds_for(tokens)
        return min(max(self.hang_seconds, foreseen), self.max_seconds)
