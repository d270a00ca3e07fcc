"""Admit texts that have room and would be answered in time; refuse the others at once."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from valence_service.core.errors import DeadlinePassed, Overloaded, QueueFull

if TYPE_CHECKING:
    from valence_service.scheduler.backlog import Backlog
    from valence_service.scheduler.estimate import ThroughputEstimate
    from valence_service.scheduler.pool import ReplicaPool

# Safety factor: the throughput varies, and an answer takes longer than its computation. A call
# that is admitted and answered too late has taken the time of others, while a queue of two thirds
# of a deadline still makes full batches.
SAFETY_FACTOR = 1.5
TARGET_WAIT_SECONDS = 0.1
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.05, 30.0


class Admission:
    """Estimate whether texts meet their deadline, from the backlog and the throughput."""

    def __init__(
        self,
        backlog: Backlog,
        estimate: ThroughputEstimate,
        pool: ReplicaPool,
        *,
        max_queue_texts: int,
    ) -> None:
        """Read the state that the other parts of the scheduler keep; change none of it."""
        self._backlog = backlog
        self._queue = backlog.queue
        self._estimate = estimate
        self._pool = pool
        self._max_queue_texts = max_queue_texts
        self._loop = asyncio.get_running_loop()

    def check(self, texts: int, tokens: int, *, deadline: float | None) -> None:
        """Raise Overloaded if the queue has no room for so many, or they would be late.

        Raise DeadlinePassed if the deadline has passed already.
        """
        if texts > self._queue.room_texts:
            waiting = self._backlog.running_tokens + self._queue.tokens
            raise QueueFull(
                f"the queue has no room for {texts} more: it holds {len(self._queue)} of at "
                f"most {self._max_queue_texts} texts",
                retry_after_seconds=retry_after(self._estimate.seconds_for(waiting)),
            )
        if deadline is None or not texts or self._could_start_now:
            return
        wait_seconds = 0.0
        if self._estimate.trusted:
            ahead = self._backlog.running_tokens + self._queue.tokens_ahead(texts)
            wait_seconds = self._estimate.seconds_for(ahead + tokens)
        check_deadline(wait_seconds, deadline - self._loop.time())

    @property
    def forecast_wait_seconds(self) -> float:
        """How long the last text in the queue will wait; 0 until there is an estimate."""
        waiting_tokens = self._queue.tokens if self._estimate.trusted else 0
        return self._estimate.seconds_for(waiting_tokens)

    @property
    def utilization(self) -> float:
        """The busy share of the replicas; a wait of TARGET_WAIT_SECONDS adds 1."""
        return self._pool.busy_share + self.forecast_wait_seconds / TARGET_WAIT_SECONDS

    @property
    def _could_start_now(self) -> bool:
        """Whether a replica is idle: the texts are computed then, whatever the estimate says.

        Only a new measurement can correct a wrong estimate.
        """
        return not self._queue and self._pool.free


def check_deadline(answered_in_seconds: float, left_seconds: float) -> None:
    """Raise Overloaded if an answer in so many seconds would miss the deadline.

    Raise DeadlinePassed if any answer would.
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
    """Return when to retry if there is room in so many seconds: clients must not all come at once.

    The delay is spread at random, and bounded.
    """
    spread = random.uniform(1, 1.3)  # noqa: S311  no secret
    return min(max(seconds * spread, MIN_RETRY_SECONDS), MAX_RETRY_SECONDS)
