"""A stream of the client for threads, over several calls if servers go away."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc

from valence_client._reopening import Reopening
from valence_client._status import error_of_call, more_telling
from valence_client.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from valence.v1 import sentiment_pb2 as pb

    from valence_client._channels import Channel
    from valence_client._connection import Connection
    from valence_client._exchange import Exchange
    from valence_client.errors import ValenceError
    from valence_client.results import Outcome, StreamItem


def answers(
    channel: Channel,
    connection: Connection,
    texts: Iterable[str],
    exchange: Exchange,
) -> Generator[Outcome | StreamItem, None, None]:
    """Yield every answer. Raise the error that ends the stream early."""
    feed = _Feed(texts, exchange)
    reopening = Reopening(retries=connection.retries, timeout_seconds=connection.timeout_seconds)
    error: ValenceError | None = None
    while True:
        over = threading.Event()
        call = channel.stub().StreamClassify(feed.requests(over), metadata=connection.metadata())
        try:
            for response in call:
                answer, error = exchange.answer(response), None
                feed.answered()
                yield answer
            break
        except (grpc.RpcError, Unavailable) as raised:
            if exchange.complete:
                break
            if isinstance(raised, Unavailable):
                error = raised
            else:
                error = more_telling(error, error_of_call(raised, connection.peer))
            pause_seconds = reopening.pause_seconds(error, exchange.answered)
            if pause_seconds is None:
                raise error from error.__cause__
        finally:
            over.set()
            feed.answered()
            call.cancel()
        channel.pause(pause_seconds)
    exchange.finish()


class _Feed:
    """Reads the texts for one call after another, each in one of gRPC's threads."""

    def __init__(self, texts: Iterable[str], exchange: Exchange) -> None:
        self._texts = texts
        self._iterator: Iterator[str] | None = None
        self._exchange = exchange
        self._reading = threading.Lock()
        self._room = threading.Condition()

    def requests(self, over: threading.Event) -> Iterator[pb.StreamClassifyRequest]:
        """Yield the requests without an answer, then the new ones, until the call is over."""
        number, first = self._exchange.first_unanswered, True
        while self._is_added(number, over):
            request = self._exchange.request(number, first=first)
            number += 1
            if request is not None:
                first = False
                yield request

    def answered(self) -> None:
        """Wake the reader: there may be room, or the call is over."""
        with self._room:
            self._room.notify_all()

    def _is_added(self, number: int, over: threading.Event) -> bool:
        """Read the texts up to that number, and return whether there is one."""
        exchange = self._exchange
        # Take no lock here. Texts may depend on answers: the thread of a broken call may hold the
        # lock while it waits for a text that the caller makes from this answer.
        if number < exchange.added:
            return not over.is_set()
        with self._reading:
            with self._room:
                self._room.wait_for(lambda: over.is_set() or not exchange.full)
            if over.is_set():
                return False
            if number == exchange.added and not exchange.no_more:
                self._add_next()
            return number < exchange.added

    def _add_next(self) -> None:
        try:
            if self._iterator is None:
                self._iterator = iter(self._texts)
            self._exchange.add(next(self._iterator))
        except StopIteration:
            self._exchange.ended = True
        except (
            BaseException
        ) as error:  # raised by the caller's texts, in gRPC's thread: raise it to the caller
            self._exchange.failure = error
