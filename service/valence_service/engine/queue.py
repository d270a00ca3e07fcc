"""The texts that wait: a bounded queue, cut into batches.

Its bound is never exceeded; a caller who leaves frees the place at once; who waits for a place gets
one in order of arrival.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections import OrderedDict
from dataclasses import dataclass

from valence_service.sentiment import Answer, DeadlinePassed, Draining

# English has about four bytes to a token, other scripts about three; two for the specials. Only
# the size of a cut rests on it: the classifier counts for itself.
BYTES_PER_TOKEN = 3.5
SPECIAL_TOKENS = 2


@dataclass(slots=True, eq=False)
class Job:
    """One text and the caller who waits for it."""

    text: str
    deadline: float | None
    """In seconds of the event loop's clock."""
    future: asyncio.Future[Answer]
    queued_at: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether anyone still waits for it."""
        return not self.future.done()

    @property
    def tokens(self) -> int:
        """A cheap estimate of the tokens of the text."""
        size = len(self.text) if self.text.isascii() else len(self.text.encode())
        return math.ceil(size / BYTES_PER_TOKEN) + SPECIAL_TOKENS

    def fail(self, error: Exception) -> None:
        """End the wait with error, if it has not ended."""
        if self.alive:
            self.future.set_exception(error)


class Queue:
    """Jobs in order of arrival, at most ``max_texts`` of them. Belongs to one event loop."""

    def __init__(self, *, max_texts: int) -> None:
        self._max_texts = max_texts
        # Ordered, and not a deque: a caller who leaves gives up the place in O(1).
        self._jobs: OrderedDict[Job, None] = OrderedDict()
        # Who waits for a place, and what tells that caller of it. Nobody waits while there is one.
        self._waiting: OrderedDict[Job, asyncio.Future[None]] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self.closed = False
        self.arrived = asyncio.Event()
        """Set while there may be something to cut, and once closed."""

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def room_texts(self) -> int:
        """Free places."""
        return self._max_texts - len(self._jobs)

    def put(self, job: Job) -> None:
        """Queue a job. The caller has seen that there is room."""
        job.queued_at = self._loop.time()
        self._jobs[job] = None
        job.future.add_done_callback(functools.partial(self._leave, job))
        self.arrived.set()

    async def put_when_room(self, job: Job) -> None:
        """Queue a job as soon as a place comes free. Raises Draining where the queue closes."""
        placed = self._waiting[job] = self._loop.create_future()
        try:
            await placed
        except asyncio.CancelledError:
            self._waiting.pop(job, None)
            job.future.cancel()  # the text may stand in the queue already
            raise

    def cut(self, *, max_texts: int, max_tokens: int, max_text_tokens: int) -> list[Job]:
        """Take the next batch: live jobs in order of arrival within both bounds, longest first.

        A text counts at most max_text_tokens; one above max_tokens goes alone.
        """
        cut: list[tuple[int, Job]] = []
        left = max_tokens
        now = self._loop.time()
        while self._jobs and len(cut) < max_texts:
            job = next(iter(self._jobs))
            if job.deadline is not None and now >= job.deadline:
                job.fail(DeadlinePassed("the deadline passed in the queue"))
            if job.alive:
                tokens = min(job.tokens, max_text_tokens)
                if cut and tokens > left:
                    break
                left -= tokens
                cut.append((tokens, job))
            del self._jobs[job]
        if not self._jobs and not self.closed:
            self.arrived.clear()
        self._make_room()
        # Neighbours of like length make little padding.
        return [job for _, job in sorted(cut, key=lambda item: -item[0])]

    def close(self) -> None:
        """Take nothing more, and turn away who waits for a place."""
        self.closed = True
        self.arrived.set()
        self._make_room()

    def fail(self, error: Exception) -> None:
        """End the wait of every job."""
        for job in list(self._jobs):
            job.fail(error)

    def _leave(self, job: Job, _: asyncio.Future[Answer]) -> None:
        """The caller is settled or gone: free the place if the text still waits."""
        if job in self._jobs:
            del self._jobs[job]
            self._make_room()

    def _make_room(self) -> None:
        """Give each free place to who has waited for one longest; when closed, turn all away.

        The text is queued here and not by its caller once awake: in between, another could take
        the place, and the caller would have to wait behind those who came later.
        """
        while self._waiting and (self.closed or self.room_texts > 0):
            job, placed = self._waiting.popitem(last=False)
            if placed.done():
                continue  # cancelled, and not yet awake to know
            if self.closed:
                placed.set_exception(Draining("the server is ending"))
            else:
                self.put(job)
                placed.set_result(None)
