"""Divides texts into windows and sentences, in a thread of its own: the event loop goes on."""

from __future__ import annotations

import asyncio
import functools
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from valence_service.core.errors import InvalidField, ModelFailed, QueueFull, ValenceError
from valence_service.process import compute_thread
from valence_service.scheduler.admission import retry_after
from valence_service.scheduler.replica import guarded
from valence_service.serving.windows import WindowSize, plan_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from valence_service.core.document import Segmenter, Span, TokenReader
    from valence_service.serving.windows import WindowPlan

# Calls are refused once so much waits: up to about ten seconds of work.
MAX_WAITING_BYTES = 4 * 2**20
# Assumed of the first text: one of 64 kB takes 0.1 to 0.17 s.
FIRST_BYTES, FIRST_SECONDS = 65536, 0.15
P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DocumentPlan:
    """The parts of a document that the model reads."""

    sentences: Sequence[Span]
    whole: WindowPlan


class Divider:
    """Divides texts for one model. Belongs to one event loop."""

    def __init__(self, segmenter: Segmenter, reader: TokenReader, *, max_tokens: int) -> None:
        """Take over the reader: nothing else may use it from now on."""
        self._segmenter = segmenter
        self._reader = reader
        (special_tokens,) = reader.count([""])
        self.size = WindowSize.for_model(max_tokens, special_tokens)
        self._thread = compute_thread("divide")
        self._streams = asyncio.Lock()
        self._waiting_bytes = 0
        # What the thread has divided so far, and how long it took.
        self._bytes, self._seconds = FIRST_BYTES, FIRST_SECONDS

    @contextmanager
    def room_for(self, texts: Iterable[str]) -> Iterator[None]:
        """Hold room for the texts of a call until they are divided. Raise QueueFull without room.

        A call gets room for all of its texts, however large, while others leave any.
        """
        waiting = self._waiting_bytes
        if waiting >= MAX_WAITING_BYTES:
            raise QueueFull(
                f"{waiting} bytes of texts wait to be divided into windows and sentences: from "
                f"{MAX_WAITING_BYTES} on the server takes no more of them",
                retry_after_seconds=retry_after(waiting * self._seconds / self._bytes),
            )
        size = sum(map(_size, texts))
        self._waiting_bytes += size
        try:
            yield
        finally:
            self._waiting_bytes -= size

    async def windows(self, text: str, field: str) -> WindowPlan:
        """Return the windows of a text. Raise InvalidField if the model can read none of them."""
        return await self._run(self._windows, text, field)

    async def windows_in_turn(self, text: str, field: str) -> WindowPlan:
        """Return the windows of a text of a stream, once no other stream's text is divided.

        Streams need no room: one text of all of them waits beside those of calls.
        """
        async with self._streams:
            return await self.windows(text, field)

    async def document(self, text: str, *, max_sentences: int) -> DocumentPlan:
        """Return the sentences and windows of a document. Raise InvalidField for too many."""
        return await self._run(self._document, text, max_sentences)

    def close(self) -> None:
        """Divide no more texts, and let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, divide: Callable[[str, P], T], text: str, argument: P) -> T:
        work = functools.partial(self._measured, text, functools.partial(divide, text, argument))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except ValenceError:
            raise
        except Exception as error:
            raise ModelFailed("the model's tokenizer failed on this text") from error

    def _measured(self, text: str, divide: Callable[[], T]) -> T:
        began = time.perf_counter()
        try:
            return guarded(divide)
        finally:
            self._seconds += time.perf_counter() - began
            self._bytes += _size(text)

    def _windows(self, text: str, field: str) -> WindowPlan:
        return self._plan(text, lambda: self._segmenter.segment(text), field)

    def _document(self, text: str, max_sentences: int) -> DocumentPlan:
        sentences = list(islice(self._segmenter.segment(text), max_sentences + 1))
        if len(sentences) > max_sentences:
            raise InvalidField("text", f"has more sentences than the limit of {max_sentences}")
        return DocumentPlan(sentences, self._plan(text, lambda: sentences, "text"))

    def _plan(self, text: str, sentences: Callable[[], Iterable[Span]], field: str) -> WindowPlan:
        return plan_windows(
            text,
            self._reader,
            lambda: (sentence.end for sentence in sentences()),
            size=self.size,
            field=field,
        )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
