"""The time that wait_ready has left, and its error when that is over."""

from __future__ import annotations

import time

from valence_client._attempts import Attempts, RetryBudget
from valence_client._seconds import check_seconds
from valence_client._status import more_telling
from valence_client.errors import DeadlineExceeded, Unavailable, ValenceError

# gRPC already pauses between connection attempts. This one keeps refusals from coming in a burst.
PAUSE_SECONDS = 0.1


class Wait:
    """A wait for a server."""

    def __init__(self, address: str, timeout_seconds: float) -> None:
        """Start to wait. Raise ValueError for no duration."""
        check_seconds(timeout_seconds)
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._ends = time.monotonic() + timeout_seconds
        self._unavailable: ValenceError | None = None

    def attempts(self) -> Attempts:
        """Return a single attempt with its own budget, so that later calls may still retry."""
        return Attempts(
            self._address, RetryBudget(), retries=0, timeout_seconds=self._left_seconds()
        )

    def failed(self, error: Unavailable | DeadlineExceeded) -> None:
        """Note a failed attempt. Raise Unavailable if there is no time for another."""
        if isinstance(error, Unavailable):
            self._unavailable = more_telling(self._unavailable, error)
        if self._left_seconds() <= PAUSE_SECONDS:
            # The last attempt ran out of time; the error of the one before says why.
            raise Unavailable(
                f"no server was ready at {self._address} within {self._timeout_seconds:g} s: "
                f"{self._unavailable or error}",
                reason=(self._unavailable or error).reason,
            ) from error

    def _left_seconds(self) -> float:
        return max(0.0, self._ends - time.monotonic())
