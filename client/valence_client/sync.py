# Made from aio.py by client/unasync.py: change that file, then `make sync`.
"""The client for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar, overload

import grpc
from valence.v1 import sentiment_pb2 as pb

from valence_client import _replies, _requests
from valence_client._channels import Channel
from valence_client._connection import DEFAULT_ADDRESS, DEFAULT_WINDOW_TEXTS, Connection
from valence_client._exchange import Exchange
from valence_client._status import error_of_call, more_telling
from valence_client._stream_sync import answers
from valence_client._wait import PAUSE_SECONDS, Wait
from valence_client.errors import DeadlineExceeded, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Self

    from valence.v1.sentiment_pb2_grpc import SentimentServiceStub

    from valence_client._address import Address
    from valence_client._attempts import Attempts
    from valence_client._connection import ChannelOptions, Compression, LoadBalancing, Pem
    from valence_client._requests import Overlength
    from valence_client._token import Token
    from valence_client.errors import ValenceError
    from valence_client.results import Document, ModelInfo, Outcome, Sentiment, StreamItem

Request = TypeVar("Request")
Response = TypeVar("Response")


class Client:
    """A client of a Valence server. Make one and keep it: it reconnects, and threads may share it.

    Every call raises a ValenceError if there is no answer. Close the client, or use it in
    ``with``.
    """

    def __init__(
        self,
        address: Address = DEFAULT_ADDRESS,
        *,
        timeout_seconds: float | None = 10.0,
        retries: int = 3,
        tls: bool = False,
        root_certificates: Pem | None = None,
        client_certificate: Pem | None = None,
        client_key: Pem | None = None,
        server_name: str | None = None,
        token: Token | None = None,
        compression: Compression | None = None,
        load_balancing: LoadBalancing = "round_robin",
        channel_options: ChannelOptions = (),
    ) -> None:
        """Check the options; the first call connects. Raise ValueError, OSError for a file.

        address: ``host:port``, ``unix:path`` for a socket on this machine, or another target that
        gRPC knows: ``dns:///name:port``. Calls take turns over all addresses of a name. Several
        addresses must be IP addresses: ``["10.0.0.1:50051", "10.0.0.2:50051"]``. gRPC goes through
        the proxy in ``https_proxy`` or ``http_proxy``, but not to several addresses or a loopback.

        timeout_seconds: the deadline of a call, retries included; at most 86400, a day. A stream
        has no deadline, and gives up once no server has been available for so long. None waits for
        ever.

        retries: 0 to 4, for when no server is available or it is overloaded. With 0, a stream that
        loses its server is not opened again.

        tls: encrypt, and check the server's certificate against root_certificates, PEM or the path
        of a file; by default against those that gRPC brings. client_certificate and client_key
        prove to the server who is calling.

        server_name: the name in the server's certificate, if the address is another.

        token: sent as ``authorization: Bearer``. A path is read again when the file changes. A
        function is called for each call, and must not block. Without tls, anyone on the network
        path can read the token.

        compression: compress requests. It pays on slow lines, not on one machine.

        load_balancing: how calls go to several addresses: in turn, or with
        ``weighted_round_robin`` more of them to the servers whose load reports show room.

        channel_options: gRPC's channel arguments; they override the client's own.
        """
        self._connection = Connection(
            address,
            timeout_seconds=timeout_seconds,
            retries=retries,
            tls=tls,
            root_certificates=root_certificates,
            client_certificate=client_certificate,
            client_key=client_key,
            server_name=server_name,
            token=token,
            compression=compression,
            load_balancing=load_balancing,
            channel_options=channel_options,
        )
        self._channel = Channel(self._connection)

    def classify(self, text: str, *, overlength: Overlength = "truncate") -> Sentiment:
        """Return the sentiment of a text.

        overlength: ``truncate`` or ``reject`` a text that has more tokens than the model reads, or
        read all of it in overlapping ``windows``.
        """
        request = _requests.classify_request(text, overlength)
        return _replies.classified(self._call(lambda stub: stub.Classify, request))

    def classify_batch(
        self, texts: Iterable[str], *, overlength: Overlength = "truncate"
    ) -> list[Outcome]:
        """Return the outcomes of several texts, in order; at most ``Limits.max_batch_texts``.

        The outcome is a ValenceError if that text has no answer. Raise if the whole call fails.
        """
        _requests.refuse_lone_text(texts)
        asked = list(texts)
        request, unsent = _requests.batch_request(asked, overlength)
        if not asked:
            return []
        response = self._call(lambda stub: stub.BatchClassify, request)
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
        """Classify any number of texts in one stream, without a deadline.

        Yield a Sentiment or ValenceError for each text, in order. With ``in_order=False`` yield a
        StreamItem, which has the text's index too, as soon as it is ready. Raise if the call fails,
        and what the texts raise, once the texts before are answered.

        If the server goes away, the stream is opened again and unanswered texts are sent again:
        each text is answered once. Raise Unavailable if no server comes back in time.

        texts: read as answers are taken, at most window_texts ahead of them, in another thread.

        To leave early, ``close()`` the generator; the call lasts as long as the generator.
        """
        _requests.refuse_lone_text(texts)
        _requests.check_window(window_texts)
        exchange = Exchange(
            overlength=overlength,
            in_order=in_order,
            window_texts=window_texts,
            resends=self._connection.retries > 0,
        )
        return answers(self._channel, self._connection, texts, exchange)

    def classify_document(self, text: str) -> Document:
        """Return the sentiment of a text of any length, and of each of its sentences.

        The server's limits are ``Limits.max_document_bytes`` and ``Limits.max_sentences``.
        """
        request = _requests.document_request(text)
        response = self._call(lambda stub: stub.ClassifyDocument, request)
        return _replies.document(response, text)

    def model(self) -> ModelInfo:
        """Return the model that answers, its labels and the limits of a request."""
        response = self._call(lambda stub: stub.GetModel, pb.GetModelRequest())
        return _replies.model_info(response)

    def wait_ready(self, timeout_seconds: float = 60.0) -> None:
        """Return once a server takes calls. Raise Unavailable if none does in time.

        timeout_seconds: more than 0, and at most 86400, a day.
        """
        wait = Wait(self._connection.address, timeout_seconds)
        while True:
            try:
                request = pb.GetModelRequest()
                self._call(lambda stub: stub.GetModel, request, attempts=wait.attempts())
                return
            except (Unavailable, DeadlineExceeded) as error:
                wait.failed(error)
            self._channel.pause(PAUSE_SECONDS)

    def close(self) -> None:
        """End open calls and the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the client."""
        self.close()

    def _call(
        self,
        method: Callable[[SentimentServiceStub], grpc.UnaryUnaryMultiCallable[Request, Response]],
        request: Request,
        *,
        attempts: Attempts | None = None,
    ) -> Response:
        connection = self._connection
        attempts = attempts or connection.attempts()
        metadata = connection.metadata()
        error: ValenceError | None = None
        while True:
            call = method(self._channel.stub())
            try:
                response = call(request, timeout=attempts.left_seconds(), metadata=metadata)
            except grpc.RpcError as raised:
                error = more_telling(error, error_of_call(raised, connection.peer))
                pause_seconds = attempts.pause_seconds(raised, error)
                if pause_seconds is None:
                    raise error from error.__cause__
            else:
                attempts.succeed()
                return response
            self._channel.pause(pause_seconds)
