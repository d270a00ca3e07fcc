"""The client for threads."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Literal, TypeVar, overload

import grpc
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from valence_client import _replies, _requests
from valence_client._connection import DEFAULT_ADDRESS, DEFAULT_WINDOW_TEXTS, Connection
from valence_client._exchange import Exchange
from valence_client._status import error_of_call
from valence_client._wait import PAUSE_SECONDS, Wait
from valence_client.errors import DeadlineExceeded, Unavailable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import Self

    from valence_client._connection import ChannelOptions
    from valence_client._requests import Overlength
    from valence_client.results import ModelInfo, Outcome, Sentiment, StreamItem

Request = TypeVar("Request")
Response = TypeVar("Response")


class Client:
    """Asks a Valence server. Make one and keep it: it reconnects, and threads may share it.

    Every call raises a ValenceError where there is no answer. Close it, or use it in a ``with``.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout_seconds: float | None = 10.0,
        retries: int = 3,
        tls: bool = False,
        root_certificates: bytes | None = None,
        token: str | None = None,
        channel_options: ChannelOptions = (),
    ) -> None:
        """Connects at the first call. Raises ValueError.

        address: ``host:port``, or another target that gRPC knows: ``dns:///name:port``, ``unix:``.
        timeout_seconds: of a call, its retries included; not of streams. None waits for ever.
        retries: 0 to 4, while no server is available or it is overloaded.
        tls: with the root certificates that gRPC brings, or with root_certificates (PEM).
        token: sent as ``authorization: Bearer``. Without tls, anyone on the way can read it.
        channel_options: gRPC's channel arguments, over the client's own.
        """
        self._connection = connection = Connection(
            address,
            timeout_seconds=timeout_seconds,
            retries=retries,
            tls=tls,
            root_certificates=root_certificates,
            token=token,
            channel_options=channel_options,
        )
        if connection.credentials is None:
            self._channel = grpc.insecure_channel(address, connection.options)
        else:
            self._channel = grpc.secure_channel(address, connection.credentials, connection.options)
        self._stub = sentiment_pb2_grpc.SentimentServiceStub(self._channel)

    def classify(self, text: str, *, overlength: Overlength = "truncate") -> Sentiment:
        """One text, one sentiment.

        overlength: whether to ``truncate`` or ``reject`` a text that has more tokens than the
        model reads.
        """
        request = _requests.classify_request(text, overlength)
        return _replies.classified(self._call(self._stub.Classify, request))

    def classify_batch(
        self, texts: Iterable[str], *, overlength: Overlength = "truncate"
    ) -> list[Outcome]:
        """Several texts in one call, answered in order; at most ``Limits.max_batch_texts``.

        A text that has no answer has its ValenceError in its place. Raises where the call fails.
        """
        _requests.refuse_lone_text(texts)
        asked = list(texts)
        request, unsent = _requests.batch_request(asked, overlength)
        if not asked:
            return []
        response = self._call(self._stub.BatchClassify, request)
        return _replies.batch_outcomes(response, len(asked), unsent)

    @overload
    def classify_stream(
        self,
        texts: Iterable[str],
        *,
        in_order: Literal[True] = True,
        overlength: Overlength = "truncate",
        window_texts: int = DEFAULT_WINDOW_TEXTS,
    ) -> Generator[Outcome, None, None]: ...

    @overload
    def classify_stream(
        self,
        texts: Iterable[str],
        *,
        in_order: Literal[False],
        overlength: Overlength = "truncate",
        window_texts: int = DEFAULT_WINDOW_TEXTS,
    ) -> Generator[StreamItem, None, None]: ...

    def classify_stream(
        self,
        texts: Iterable[str],
        *,
        in_order: bool = True,
        overlength: Overlength = "truncate",
        window_texts: int = DEFAULT_WINDOW_TEXTS,
    ) -> Generator[Outcome | StreamItem, None, None]:
        """Any number of texts over one call, without a deadline.

        Yields a Sentiment or ValenceError for each text in order; with ``in_order=False`` a
        StreamItem, which also has the text's index, as soon as each is ready. Raises where the
        call fails, and what the texts raise, once the texts before are answered.

        texts: read as answers are taken, at most window_texts + 1 ahead of them, and in another
        thread.

        To leave early, ``close()`` the generator: else the call lives as long as it does.
        """
        _requests.refuse_lone_text(texts)
        _requests.check_window(window_texts)
        exchange = Exchange(overlength=overlength, in_order=in_order)
        return self._answers(texts, exchange, window_texts)

    def model(self) -> ModelInfo:
        """Which model answers, what its labels mean, and what a request may hold."""
        return _replies.model_info(self._call(self._stub.GetModel, pb.GetModelRequest()))

    def wait_ready(self, timeout_seconds: float = 60.0) -> None:
        """Return once a server takes calls. Raises Unavailable where none does in time."""
        wait = Wait(self._connection.address, timeout_seconds)
        while True:
            try:
                self._call(
                    self._stub.GetModel, pb.GetModelRequest(), timeout_seconds=wait.left_seconds()
                )
                return
            except (Unavailable, DeadlineExceeded) as error:
                wait.failed(error)
            time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """End open calls and the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout_seconds: float | None = None,
    ) -> Response:
        connection = self._connection
        if timeout_seconds is None:
            timeout_seconds = connection.timeout_seconds
        try:
            return method(request, timeout=timeout_seconds, metadata=connection.metadata)
        except grpc.RpcError as error:
            raise error_of_call(error, connection.address) from error

    def _answers(
        self, texts: Iterable[str], exchange: Exchange, window_texts: int
    ) -> Generator[Outcome | StreamItem, None, None]:
        window = threading.Semaphore(window_texts)
        left = threading.Event()

        def requests() -> Iterator[pb.StreamClassifyRequest]:
            try:
                for text in texts:
                    window.acquire()
                    if left.is_set():
                        return
                    yield exchange.request(text)
                exchange.ended = True
            except GeneratorExit:
                raise
            except BaseException as error:  # this thread is grpc's: only the caller's may raise it
                exchange.failure = error

        call = self._stub.StreamClassify(requests(), metadata=self._connection.metadata)
        try:
            for response in call:
                window.release()
                yield exchange.answer(response)
        except grpc.RpcError as error:
            raise error_of_call(error, self._connection.address) from error
        finally:
            left.set()
            window.release()
            call.cancel()
        exchange.finish()
