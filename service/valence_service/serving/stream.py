"""The bounded window of a stream.

A slot of the window is taken before a request is read, and released once the transport has written
its result. So a client that does not read is, in the end, not read from either, and memory does not
grow with the length of the stream.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from valence_service.core.errors import MalformedMessage, ValenceError
from valence_service.scheduler.queue import Flow
from valence_service.serving.long_texts import submit_whole
from valence_service.serving.options import Order, Overlength, StreamOptions
from valence_service.serving.validation import check_id, check_length, check_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, MutableSet
    from typing import Self

    from valence_service.core.limits import Limits
    from valence_service.core.sentiment import Answer
    from valence_service.serving.registry import ServedModel

Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """One text of a stream."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class StreamResult:
    """The result of the request with this id: an answer, or why it has none."""

    id: str
    result: Answer | Exception


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request that was read: its answer to come, or why there will be none."""

    id: str
    answer: asyncio.Future[Answer] | ValenceError


class Stream:
    """One stream. ``async with`` it: nothing of it stays behind."""

    def __init__(
        self,
        model: ServedModel,
        limits: Limits,
        open_streams: MutableSet[Stream],
        *,
        window_texts: int,
        deadline: float | None,
    ) -> None:
        self._model = model
        self._limits = limits
        self._open_streams = open_streams
        self._deadline = deadline
        self._flow = Flow()
        self._slots = asyncio.Semaphore(window_texts)
        # What the transport writes next, in this order; None ends it. The slots bound it.
        self._due: asyncio.Queue[_Pending | None] = asyncio.Queue()
        self._unanswered: set[asyncio.Future[Answer]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._ender: asyncio.Task[None] | None = None
        self._accepting = False
        self._stopped: ValenceError | None = None
        self._options = StreamOptions()

    async def __aenter__(self) -> Self:
        self._open_streams.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open_streams.discard(self)
        for answer in self._unanswered:
            answer.cancel()
        tasks = [task for task in (self._reader, self._ender) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def results(
        self,
        messages: AsyncIterator[Message],
        *,
        read: Callable[[Message], StreamRequest | MalformedMessage],
        read_options: Callable[[Message], StreamOptions],
    ) -> AsyncIterator[StreamResult]:
        """Yield one result for each message; then raise what ended the reading, if anything did.

        The options are those of the first message that is whole. ``read_options`` may raise
        InvalidField, which ends the stream.
        """
        self._reader = asyncio.create_task(self._read(messages, read, read_options))
        self._ender = asyncio.create_task(self._end(self._reader))
        while (pending := await self._due.get()) is not None:
            yield StreamResult(pending.id, await self._result(pending))
            self._slots.release()
        if self._stopped is not None:
            raise self._stopped
        self._reader.result()

    def stop(self, reason: ValenceError) -> None:
        """Read no more: the stream answers what it has read, then ends with reason.

        Where the client has sent everything, there is nothing to stop.
        """
        if self._reader is None or self._reader.done():
            return
        self._stopped = reason
        # A text that has been read gets its result: the reader ends by itself once it is queued.
        if not self._accepting:
            self._reader.cancel()

    async def _read(
        self,
        messages: AsyncIterator[Message],
        read: Callable[[Message], StreamRequest | MalformedMessage],
        read_options: Callable[[Message], StreamOptions],
    ) -> None:
        first = True
        while self._stopped is None:
            await self._slots.acquire()
            message = await anext(messages, None)
            if message is None:
                return
            request = read(message)
            if isinstance(request, MalformedMessage):
                self._due.put_nowait(_Pending(request.request_id, request))
                continue
            if first:
                self._options = read_options(message)
                first = False
            self._accepting = True
            with self._model.arrivals.arrival():
                await self._accept(request)
            self._accepting = False

    async def _end(self, reader: asyncio.Task[None]) -> None:
        """End the results once the reading is over and every request has its answer."""
        await asyncio.wait([reader])
        while self._unanswered:
            await asyncio.wait(self._unanswered)
        self._due.put_nowait(None)

    async def _accept(self, request: StreamRequest) -> None:
        """Queue a request's text, waiting for room; a bad one is due at once."""
        try:
            check_id(request.id, self._limits)
            check_text(request.text, "text", self._limits)
            if self._options.overlength is Overlength.WINDOWS:
                submitting = submit_whole(
                    self._model, request.text, self._flow, deadline=self._deadline
                )
            else:
                submitting = self._model.batcher.submit_wait(
                    request.text, self._flow, deadline=self._deadline
                )
            answer = await submitting
        except ValenceError as error:
            self._due.put_nowait(_Pending(request.id, error))
            return
        pending = _Pending(request.id, answer)
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)
        # A client that leaves takes no answers: asyncio would log each error among them.
        answer.add_done_callback(lambda future: future.cancelled() or future.exception())
        if self._options.order is Order.READY:
            answer.add_done_callback(lambda _: self._due.put_nowait(pending))
        else:
            self._due.put_nowait(pending)

    async def _result(self, pending: _Pending) -> Answer | Exception:
        if isinstance(pending.answer, ValenceError):
            return pending.answer
        try:
            answer = await pending.answer
            if self._options.overlength is Overlength.REJECT:
                check_length(answer.sentiment, "text", self._model.info.max_tokens)
        except Exception as error:
            return error
        return answer
