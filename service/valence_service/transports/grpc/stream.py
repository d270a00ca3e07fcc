"""The bounded window of StreamClassify.

A slot of the window is taken before a request is read and given back once its response has been
written. So a caller who does not read is, in the end, not read from either, and memory does not
grow with the length of the stream.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from valence.v1 import sentiment_pb2 as pb

from valence_service.core.errors import MalformedMessage, ValenceError
from valence_service.scheduler.queue import Flow
from valence_service.transports.grpc import messages
from valence_service.transports.grpc.calls import Undecodable
from valence_service.transports.grpc.status import status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from valence_service.core.limits import Limits
    from valence_service.core.sentiment import Answer
    from valence_service.scheduler.batcher import Batcher


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request that was read: its answer to come, or why there will be none."""

    request_id: str
    answer: asyncio.Future[Answer] | ValenceError


class Stream:
    """One StreamClassify call."""

    def __init__(
        self,
        batcher: Batcher,
        replies: messages.Replies,
        limits: Limits,
        *,
        window_texts: int,
        deadline: float | None,
    ) -> None:
        self._batcher = batcher
        self._replies = replies
        self._limits = limits
        self._deadline = deadline
        self._lane = Flow()
        self._slots = asyncio.Semaphore(window_texts)
        # What is to be written next, in that order; None ends it. The slots bound it.
        self._due: asyncio.Queue[_Pending | None] = asyncio.Queue()
        self._unanswered: set[asyncio.Future[Answer]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._ender: asyncio.Task[None] | None = None
        self._stopped: ValenceError | None = None
        self._reject_overlength = False
        self._when_ready = False

    async def responses(
        self, requests: AsyncIterator[pb.StreamClassifyRequest | Undecodable]
    ) -> AsyncIterator[pb.StreamClassifyResponse]:
        """One response for each request; then raises what ended the reading, if anything did."""
        self._reader = asyncio.create_task(self._read(requests))
        self._ender = asyncio.create_task(self._end(self._reader))
        while (pending := await self._due.get()) is not None:
            yield await self._response(pending)
            self._slots.release()
        if self._stopped is not None:
            raise self._stopped
        self._reader.result()

    def stop(self, reason: ValenceError) -> None:
        """Read no more; what is queued is answered, then the stream ends with reason.

        Where the caller has sent everything, there is nothing to stop.
        """
        if self._reader is not None and self._reader.cancel():
            self._stopped = reason

    async def abandon(self) -> None:
        """The call is over: nothing of it may stay behind."""
        for answer in self._unanswered:
            answer.cancel()
        tasks = [task for task in (self._reader, self._ender) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[pb.StreamClassifyRequest | Undecodable]) -> None:
        first = True
        while True:
            await self._slots.acquire()
            request = await anext(requests, None)
            if request is None:
                return
            if first and not isinstance(request, Undecodable):
                self._take_options(request.options)
                first = False
            await self._accept(request)

    async def _end(self, reader: asyncio.Task[None]) -> None:
        """Nothing more is due once the reading is over and all of it answered."""
        await asyncio.wait([reader])
        while self._unanswered:
            await asyncio.wait(self._unanswered)
        self._due.put_nowait(None)

    def _take_options(self, options: pb.StreamOptions) -> None:
        self._reject_overlength = messages.rejects_overlength(
            options.overlength, "options.overlength"
        )
        self._when_ready = messages.answers_when_ready(options.order, "options.order")

    async def _accept(self, request: pb.StreamClassifyRequest | Undecodable) -> None:
        """Queue a request's text, waiting for room; a bad one is due at once."""
        if isinstance(request, Undecodable):
            self._due.put_nowait(_Pending("", MalformedMessage(request.description)))
            return
        try:
            messages.check_id(request.id, self._limits)
            messages.check_text(request.text, "text", self._limits)
            answer = await self._batcher.submit_wait(
                request.text, self._lane, deadline=self._deadline
            )
        except ValenceError as error:
            self._due.put_nowait(_Pending(request.id, error))
            return
        pending = _Pending(request.id, answer)
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)
        if self._when_ready:
            answer.add_done_callback(lambda _: self._due.put_nowait(pending))
        else:
            self._due.put_nowait(pending)

    async def _response(self, pending: _Pending) -> pb.StreamClassifyResponse:
        response = pb.StreamClassifyResponse(id=pending.request_id)
        try:
            if isinstance(pending.answer, ValenceError):
                raise pending.answer
            answer = await pending.answer
            response.timings.CopyFrom(messages.timings_message([answer.timings]))
            response.sentiment.CopyFrom(
                self._replies.sentiment(answer, "text", reject_overlength=self._reject_overlength)
            )
        except Exception as error:
            response.error.CopyFrom(status_of(error))
        return response
