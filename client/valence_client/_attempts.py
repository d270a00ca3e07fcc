"""Decide whether a failed unary call is made again, and when. Never waits.

gRPC's own retry policy decides by the status code. It cannot tell an overload from a message that
is too large: both are RESOURCE_EXHAUSTED. It also retries no request above 256 KiB.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from valence_client._reopening import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from valence_client._seconds import MAX_SECONDS
from valence_client._status import late, pushback_seconds
from valence_client.errors import DeadlineExceeded, Overloaded, Unavailable

if TYPE_CHECKING:
    import grpc

    from valence_client.errors import ValenceError

JITTER = 0.2
"""Pauses vary by this share, so that clients that failed together do not retry together."""

MAX_TOKENS = 1000
FAILURE_COST = 10


class RetryBudget:
    """Stops a client's retries while most of its calls fail: they would only add load.

    This is the throttling of gRFC A6. A failed attempt costs ten tokens, a success brings one, and
    calls are retried while more than half of the tokens are left.
    """

    def __init__(self) -> None:
        """Start with all tokens."""
        self._tokens = MAX_TOKENS
        self._lock = threading.Lock()

    def fail(self) -> bool:
        """Pay for a failed attempt, and return whether the call may be retried."""
        with self._lock:
            self._tokens = max(self._tokens - FAILURE_COST, 0)
            return self._tokens > MAX_TOKENS / 2

    def succeed(self) -> None:
        """Take the token that a success brings."""
        with self._lock:
            self._tokens = min(self._tokens + 1, MAX_TOKENS)


class Attempts:
    """The attempts of one call, within one deadline."""

    def __init__(
        self, address: str, budget: RetryBudget, *, retries: int, timeout_seconds: float | None
    ) -> None:
        """Start the deadline; None is no deadline. ``address`` is for the message."""
        self._address = address
        self._budget = budget
        self._retries_left = retries
        self._backoff_seconds = FIRST_PAUSE_SECONDS
        self._ends = None if timeout_seconds is None else time.monotonic() + timeout_seconds

    def left_seconds(self) -> float | None:
        """Return the time that an attempt has. Raise DeadlineExceeded where none is left."""
        if self._ends is None:
            return None
        if (left := self._ends - time.monotonic()) <= 0:
            raise DeadlineExceeded(late(self._address))
        return left

    def succeed(self) -> None:
        """Count an attempt that was answered."""
        self._budget.succeed()

    def pause_seconds(self, raised: grpc.RpcError, error: ValenceError) -> float | None:
        """Count a failed attempt, and return the pause before the next; None to give up.

        error: the error that the caller gets for ``raised``.
        """
        if not isinstance(error, Unavailable | Overloaded):
            return None
        # The last attempt costs tokens too: the server had to refuse it.
        if not self._budget.fail() or not self._retries_left:
            return None
        self._retries_left -= 1
        pause = pushback_seconds(raised)
        if pause is None:
            pause = self._backoff_seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
            self._backoff_seconds = min(2 * self._backoff_seconds, LONGEST_PAUSE_SECONDS)
        elif pause < 0:
            return None
        # No attempt could follow in time. The caller learns more from this error, and now.
        most = MAX_SECONDS if self._ends is None else self._ends - time.monotonic()
        return pause if pause < most else None
