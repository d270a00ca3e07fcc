"""Log lines that a stranger can bring about as often as he likes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

log = structlog.get_logger()


@dataclass(slots=True)
class _Told:
    next_at: float = 0.0
    left_out: int = 0


class RateLimitedLog:
    """At most one line a second for each reason. The reasons must be few."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    def warning(self, event: str, reason: str, **facts: str) -> None:
        """Log it; the next line says how many were left out."""
        told = self._told.setdefault(reason, _Told())
        now = time.monotonic()
        if now < told.next_at:
            told.left_out += 1
            return
        left_out = {"left_out": told.left_out} if told.left_out else {}
        self._told[reason] = _Told(next_at=now + 1)
        log.warning(event, reason=reason, **facts, **left_out)
