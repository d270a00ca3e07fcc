"""Would this text be answered in time? Told from what waits and how fast it is computed."""

from __future__ import annotations

import math
import random

from valence_service.core.errors import DeadlinePassed, Overloaded

# A batch's part in what is known of the estimate, halved by each three that follow.
DECAY = 0.8
# Until a batch has been measured.
FIRST_SECONDS_PER_TOKEN = 0.0005
# What is foreseen swings with the machine, and an answer takes longer than its computation. Who is
# let in and comes too late has taken the time of others, while a queue of two thirds of a deadline
# still makes full batches.
SAFETY_FACTOR = 1.5
LEAST_RETRY_SECONDS, MOST_RETRY_SECONDS = 0.05, 30.0


class ThroughputEstimate:
    """How fast tokens are computed."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self.single_seconds = math.inf
        """The least time that one short text has taken."""
        # Sums, and not the mean of each batch's own estimate: a batch of one tells less.
        self._tokens = 1.0
        self._seconds = FIRST_SECONDS_PER_TOKEN
        self._batches = 1.0

    def measured(self, tokens: int, seconds: float) -> None:
        """One worker took so long for a batch of so many tokens."""
        self._tokens = DECAY * self._tokens + tokens
        self._seconds = DECAY * self._seconds + seconds
        self._batches = DECAY * self._batches + 1

    @property
    def batch_seconds(self) -> float:
        """How long a batch takes."""
        return self._seconds / self._batches

    def seconds_for(self, tokens: float) -> float:
        """How long all workers take together for so many."""
        return tokens * self._seconds / self._tokens / self._workers

    def tokens_in(self, seconds: float) -> float:
        """How many one worker computes in so long."""
        return seconds * self._tokens / self._seconds


def check_deadline(answered_in_seconds: float, left_seconds: float) -> None:
    """Raises Overloaded where an answer foreseen in so long would come after the deadline.

    Raises DeadlinePassed where any answer would.
    """
    if left_seconds <= 0:
        raise DeadlinePassed("the deadline had passed when the text came")
    may_take_seconds = answered_in_seconds * SAFETY_FACTOR
    if may_take_seconds > left_seconds:
        raise Overloaded(
            f"an answer may take {may_take_seconds:.2f} s, and the deadline is in "
            f"{left_seconds:.2f} s",
            retry_after_seconds=retry_after(may_take_seconds - left_seconds),
        )


def retry_after(seconds: float) -> float:
    """When to come again, if there will be room in so long: not all at the same moment."""
    spread = random.uniform(1, 1.3)  # noqa: S311  no secret
    return min(max(seconds * spread, LEAST_RETRY_SECONDS), MOST_RETRY_SECONDS)
