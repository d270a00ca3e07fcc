"""Decide whether a broken stream is opened again, and when. Never waits."""

from __future__ import annotations

import math
import time

from valence_client.errors import Unavailable, ValenceError

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0


class Reopening:
    """Opens one stream again for as long as a server may come back in time.

    A stream that never had an answer is opened again only as often as other calls are retried.
    """

    def __init__(self, *, retries: int, timeout_seconds: float | None) -> None:
        """Start with no failure. ``timeout_seconds``: how long no server may be available."""
        self._retries = retries
        self._timeout_seconds = math.inf if timeout_seconds is None else timeout_seconds
        self._answered = 0
        self._failures = 0
        self._broken_at = 0.0
        self._pause_seconds = 0.0

    def pause_seconds(self, error: ValenceError, answered: int) -> float | None:
        """Return the pause before the next call, or None to raise the error.

        ``answered``: how many texts have their answer.
        """
        if not (self._retries and isinstance(error, Unavailable)):
            return None
        now = time.monotonic()
        if answered > self._answered or not self._failures:
            self._answered, self._broken_at = answered, now
            self._failures, self._pause_seconds = 0, FIRST_PAUSE_SECONDS / 2
        self._failures += 1
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        if answered:
            again = now - self._broken_at + self._pause_seconds <= self._timeout_seconds
        else:
            again = self._failures <= self._retries
        return self._pause_seconds if again else None
