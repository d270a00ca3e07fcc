"""A bounded queue of texts, with a flow for each call.

The flows take turns, a text at a time, so that a call of many texts does not keep a call of one
text waiting. The queue never exceeds its bound; a caller who leaves frees the place at once;
callers who wait for a place get one in order of arrival.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from valence_service.core.clock import now
from valence_service.core.errors import DeadlinePassed, Draining
from valence_service.core.observer import TextCounters

if TYPE_CHECKING:
    from valence_service.core.sentiment import Answer

# English has about four bytes to a token, other scripts about three; two more for the special
# tokens. Only the size of a batch and the admission rest on it: the classifier counts for itself.
BYTES_PER_TOKEN = 3.5
SPECIAL_TOKENS = 2
# A call of one text that came within so many seconds makes another likely.
SINGLES_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Flow:
    """The waiting texts of one call, in its order."""

    jobs: OrderedDict[Job, None] = field(default_factory=OrderedDict)
    tokens: int = 0
    """Tokens of all of them."""
    next_tokens: int = 0
    """Tokens of the text whose turn is next."""


@dataclass(slots=True, eq=False)
class Job:
    """One text and the caller who waits for it."""

    text: str
    deadline: float | None
    """In seconds of the event loop's clock."""
    future: asyncio.Future[Answer]
    tokens: int
    """By estimate."""
    flow: Flow
    backpressured: bool = False
    """Whether the caller waits for a place instead of being refused."""
    single: bool = False
    """Whether it is the only text of its call."""
    requeued: bool = False
    """Whether a replica broke while it computed the text."""
    queued_at: float = 0.0
    """By ``core.clock``."""

    @property
    def alive(self) -> bool:
        """Whether the caller still waits for it."""
        return not self.future.done()

    def fail(self, error: Exception) -> None:
        """End the wait with an error, if it has not ended."""
        if self.alive:
            self.future.set_exception(error)


def estimated_tokens(text: str) -> int:
    """Estimate the tokens of a text, special tokens included."""
    size = len(text) if text.isascii() else len(text.encode())
    return math.ceil(size / BYTES_PER_TOKEN) + SPECIAL_TOKENS


class Queue:
    """Jobs in flows, at most ``max_texts`` of them. Belongs to one event loop."""

    def __init__(self, *, max_texts: int, counters: TextCounters | None = None) -> None:
        """Count the texts that leave uncomputed in counters."""
        self._max_texts = max_texts
        self._counters = counters or TextCounters()
        # Backpressured callers always have more to send: they leave half of the places to others.
        self._max_backpressured_texts = math.ceil(max_texts / 2)
        # Ordered, and not deques: a caller who leaves gives up the place in O(1).
        self._flows: OrderedDict[Flow, None] = OrderedDict()
        self._texts = 0
        self._backpressured_texts = 0
        self._next_tokens = 0
        self._single_at = -math.inf
        self.tokens = 0
        """Tokens of all texts that wait."""
        # Callers who wait for a place, each with the future that ends the wait. Empty while there
        # is a place.
        self._waiting: OrderedDict[Job, asyncio.Future[None]] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self.closed = False
        self.arrived = asyncio.Event()
        """Set while a text may wait, and once closed. See ``Backlog.next_batch``."""

    def __len__(self) -> int:
        """Return the number of texts that wait."""
        return self._texts

    @property
    def room_texts(self) -> int:
        """Free places."""
        return self._max_texts - self._texts

    @property
    def room_for_backpressured(self) -> bool:
        """Whether a backpressured caller need not wait for a place."""
        return self.room_texts > 0 and self._backpressured_texts < self._max_backpressured_texts

    @property
    def singles_meet_many(self) -> bool:
        """Whether calls of many texts wait while calls of one text arrive."""
        lately = now() - self._single_at < SINGLES_SECONDS
        return lately and self._texts > len(self._flows)

    def tokens_ahead(self, texts: int) -> float:
        """Return the tokens that are computed before the last of so many new texts of a call."""
        if texts == 1:
            return self._next_tokens
        return sum(flow.tokens * min(1.0, texts / len(flow.jobs)) for flow in self._flows)

    def put(self, job: Job) -> None:
        """Queue a job in its flow. The caller has checked that there is room."""
        job.queued_at = now()
        if job.single:
            self._single_at = job.queued_at
        job.flow.jobs[job] = None
        self._flows.setdefault(job.flow)
        self._count(job, 1)
        job.future.add_done_callback(functools.partial(self._leave, job))
        self.arrived.set()

    async def put_when_room(self, job: Job) -> None:
        """Queue a backpressured job once a place comes free. Raise Draining if the queue closes."""
        placed = self._waiting[job] = self._loop.create_future()
        try:
            await placed
        except asyncio.CancelledError:
            self._waiting.pop(job, None)
            job.future.cancel()  # the text may stand in the queue already
            raise

    def next_batch(
        self, *, max_texts: int, max_tokens: float, batch_seconds: float = 0.0
    ) -> list[Job]:
        """Take the next batch within both bounds, a live job of each flow in turn, longest first.

        A text above max_tokens makes a batch of its own. A text whose deadline would pass in the
        batch_seconds that a batch takes is failed, unless no other text wants its place.
        """
        batch: list[Job] = []
        left = max_tokens
        time = self._loop.time()
        in_time = time + (batch_seconds if self._texts > 1 else 0.0)
        while self._flows and len(batch) < max_texts:
            flow = next(iter(self._flows))
            job = next(iter(flow.jobs))
            if job.deadline is not None and in_time >= job.deadline:
                when = "passed" if time >= job.deadline else "was about to pass"
                job.fail(DeadlinePassed(f"the deadline {when} in the queue"))
            if not job.alive:
                self._counters.dropped += 1
                self._remove(job)
                continue
            if batch and job.tokens > left:
                break
            left -= job.tokens
            batch.append(job)
            self._remove(job)
            if flow.jobs:
                self._flows.move_to_end(flow)
        if not self._flows and not self.closed:
            self.arrived.clear()
        self._make_room()
        # Texts of similar length side by side need little padding.
        return sorted(batch, key=lambda job: -job.tokens)

    def close(self) -> None:
        """Take nothing more, and turn away the callers who wait for a place."""
        self.closed = True
        self.arrived.set()
        self._make_room()

    def fail(self, error: Exception) -> None:
        """End the wait of every job, and of every caller who waits for a place."""
        for flow in self._flows:
            for job in flow.jobs:
                job.fail(error)
        for placed in self._waiting.values():
            if not placed.done():
                placed.set_exception(error)
        self._waiting.clear()

    def _leave(self, job: Job, _: asyncio.Future[Answer]) -> None:
        """Free the place if the text still waits: its caller has left or is settled."""
        if job in job.flow.jobs:
            self._counters.dropped += 1
            self._remove(job)
            self._make_room()

    def _remove(self, job: Job) -> None:
        del job.flow.jobs[job]
        if not job.flow.jobs:
            del self._flows[job.flow]
        self._count(job, -1)

    def _count(self, job: Job, sign: int) -> None:
        """Update the sums after a job was added (1) or removed (-1)."""
        flow = job.flow
        self._texts += sign
        self._backpressured_texts += sign * job.backpressured
        flow.tokens += sign * job.tokens
        self.tokens += sign * job.tokens
        next_tokens = next(iter(flow.jobs)).tokens if flow.jobs else 0
        self._next_tokens += next_tokens - flow.next_tokens
        flow.next_tokens = next_tokens

    def _make_room(self) -> None:
        """Give each free place to the caller who has waited longest; when closed, turn all away.

        The text is queued here, and not by its caller once awake: another caller could take the
        place in between.
        """
        while self._waiting and (self.closed or self.room_for_backpressured):
            job, placed = self._waiting.popitem(last=False)
            if placed.done():
                continue  # cancelled, and not yet awake to know
            if self.closed:
                placed.set_exception(Draining("the server is ending"))
            else:
                self.put(job)
                placed.set_result(None)
