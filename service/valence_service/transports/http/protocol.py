"""uvicorn's HTTP/1.1, with bounds on what a stranger may leave open."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from valence_service.core.call import Outcome
from valence_service.transports.http.errors import plain_error

if TYPE_CHECKING:
    import asyncio
    from typing import Any

# From the connection, or the first byte of a later request, to the end of its headers.
HEADER_SECONDS = 10.0
MAX_HEADER_BYTES = 16 << 10
# Requests that a client sends on a connection before the first of them is answered.
MAX_PIPELINED = 100
# For a client to read what is ready. One that sends all before it reads would never do so.
SEND_SECONDS = 300.0


class BoundedProtocol(HttpToolsProtocol):
    """Bounds the headers, requests and responses of a connection; uvicorn bounds none of them.

    It also answers a request for another protocol as one for HTTP/1.1. Java's client and
    ``curl --http2`` send them, and uvicorn loses their bodies.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._ignores = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_timer()
        self._stop_send_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; between two requests the time for headers begins with the first byte."""
        if self._ignores:
            return
        self._unset_keepalive_if_required()
        if self._header_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_headers()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("the bytes are no request of HTTP/1.1")

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no request, after the requests before them, and close."""
        earlier = self.cycle is not None and not self.cycle.response_complete
        if earlier and not self.cycle.more_body:
            self._end_after_answer()
        elif earlier and (self.cycle.response_started or self.pipeline):
            self.transport.close()  # an answer would be taken for that of another request
        else:
            status = HTTPStatus.BAD_REQUEST
            if self._header_bytes > MAX_HEADER_BYTES:
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                msg = f"the headers have more than {MAX_HEADER_BYTES} bytes"
            body = json.dumps(plain_error(Outcome.INVALID_ARGUMENT, msg)).encode()
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (status, status.phrase.encode(), len(body), body)
            )
            self.transport.close()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Send on."""
        self._stop_send_timer()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """Count the bytes of the headers anew."""
        self._header_bytes = 0
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests at once")
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Read a part of the request's target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request, unless it is to be read anew."""
        self._stop_timer()
        if not self._asks_for_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request's body."""
        if not self._asks_for_upgrade():
            super().on_message_complete()

    def _asks_for_upgrade(self) -> bool:
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _stay(self, rest: bytes) -> None:
        """Read a request again without its wish for another protocol, and then the rest."""
        if not self._asks_for_upgrade():
            self._end_after_answer()  # what follows CONNECT belongs to a tunnel
            return
        target = b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), self.url)
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join((target, *headers, b"\r\n", rest)))

    def _end_after_answer(self) -> None:
        self._ignores = True
        self.cycle.keep_alive = False

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("the headers are too large")

    def _await_headers(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None
