"""Rate-limited logging of events that clients can trigger."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import structlog

# A client may have a hand in what a reason says: later ones share their limit.
MAX_REASONS = 100
log = structlog.get_logger()


@dataclass(slots=True)
class _Told:
    next_at: float = 0.0
    left_out: int = 0


@dataclass(slots=True)
class RateLimitedLog:
    """Log at most one line a second for each reason."""

    _told: dict[str, _Told] = field(default_factory=dict, init=False)

    def warning(self, event: str, reason: str, **facts: str) -> None:
        """Log a warning, or count it: the next line says how many were left out."""
        key = reason if reason in self._told or len(self._told) < MAX_REASONS else ""
        told = self._told.setdefault(key, _Told())
        now = time.monotonic()
        if now < told.next_at:
            told.left_out += 1
            return
        left_out = {"left_out": told.left_out} if told.left_out else {}
        self._told[key] = _Told(next_at=now + 1)
        log.warning(event, reason=reason, **facts, **left_out)
