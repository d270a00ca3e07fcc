"""A stream as lines of JSON: one request a line in, one result a line out, as they are ready."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from google.protobuf.json_format import MessageToDict
from valence.v1 import sentiment_pb2 as pb

from valence_service.core.call import Outcome
from valence_service.core.errors import DeadlinePassed, InvalidField, MalformedMessage
from valence_service.serving.options import StreamOptions
from valence_service.serving.stream import StreamRequest
from valence_service.transports.http.bodies import ClientGone, check_plain
from valence_service.transports.http.calls import http_request, leaving_with_client, with_request_id
from valence_service.transports.http.errors import error_body, error_response
from valence_service.transports.http.json_text import (
    MAX_SHOWN_CHARACTERS,
    parse_json,
    value_named,
)
from valence_service.transports.messages import Replies, read_order, read_overlength
from valence_service.transports.status import status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from valence_service.serving.service import SentimentService
    from valence_service.serving.stream import StreamResult
    from valence_service.transports.http.calls import Gate, HttpCall

STREAM_PATH = "/v1/stream"
_OPTIONS = ("overlength", "order")
# Around a text in its line: the id, the names, and the escapes of JSON.
ESCAPED_BYTES = 6
LINE_BYTES = 4096


class StreamEndpoint:
    """StreamClassify over one request of HTTP: an ASGI application."""

    def __init__(self, service: SentimentService, gate: Gate) -> None:
        self._service = service
        self._gate = gate
        self._max_line_bytes = ESCAPED_BYTES * service.limits.max_text_bytes + LINE_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one stream. Its last line says whether it ended whole."""
        request = http_request(scope, STREAM_PATH)
        with self._gate.open("StreamClassify", scope, request) as call:
            send = with_request_id(send, call)
            try:
                if call.refusal:
                    raise call.refusal
                check_plain(call.headers)
                options = _options(scope["query_string"])
                replies = Replies.of(self._service)
                stream = self._service.stream(call)
            except Exception as error:
                await error_response(error, call.fail(error))(scope, receive, send)
                return
            await send(
                {
                    "type": "http.response.start",
                    "status": HTTPStatus.OK,
                    "headers": [(b"content-type", b"application/x-ndjson")],
                }
            )
            body = _Body(receive)
            lines = _lines(body, self._max_line_bytes)
            async with stream:
                results = stream.results(lines, read=_read, read_options=lambda _: options)
                end = await _answer(call, results, replies, body, send)
            await _send(send, _line(end), more=False)


class _Body:
    """The messages of a body, and whether the last of them has come."""

    def __init__(self, receive: Receive) -> None:
        self.client = receive
        self.ended = asyncio.Event()

    async def receive(self) -> Message:
        message = await self.client()
        if not message.get("more_body", False):
            self.ended.set()
        return message


async def _answer(
    call: HttpCall,
    results: AsyncIterator[StreamResult],
    replies: Replies,
    body: _Body,
    send: Send,
) -> dict[str, Any]:
    """Send a line for each result; return the last line."""
    answered = failed = 0
    try:
        async with (
            asyncio.timeout_at(call.deadline) as timeout,
            leaving_with_client(body.client, timeout, after=body.ended),
        ):
            async for item in results:
                if isinstance(item.result, Exception):
                    failed += 1
                else:
                    answered += 1
                await _send(send, _line(_result(replies, item)))
    except ClientGone:
        call.outcome = Outcome.CANCELLED
        return {}
    except Exception as error:
        if isinstance(error, TimeoutError) and timeout.expired():
            error = DeadlinePassed("the deadline has passed before the stream has ended")
        failure = call.fail(error)
        counts = {"answered": answered, "failed": failed}
        return {"end": {"complete": False, **counts, "error": error_body(status_of(failure))}}
    return {"end": {"complete": True, "answered": answered, "failed": failed}}


async def _send(send: Send, part: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": more})


async def _lines(body: _Body, max_bytes: int) -> AsyncIterator[bytes | MalformedMessage]:
    """Yield each line that is not blank; a line that is too long is skipped, and said to be."""
    begun = bytearray()
    skipping = False
    more = True
    too_long = MalformedMessage(f"the line has more than {max_bytes} bytes")
    message = await body.receive()
    while more:
        _check_here(message)
        more = message.get("more_body", False)
        # Ask now for what follows, so that a client's leaving shows between two lines.
        following = asyncio.ensure_future(body.receive()) if more else None
        try:
            *whole, begun = (begun + message.get("body", b"")).split(b"\n")
            if not more:
                whole.append(begun)
            for line in whole:
                if following and following.done():
                    _check_here(following.result())
                if skipping:
                    skipping = False
                elif len(line) > max_bytes:
                    yield too_long
                elif line.strip():
                    yield bytes(line)
            if more and len(begun) > max_bytes:
                if not skipping:
                    yield too_long
                skipping = True
                begun = bytearray()
            if following:
                message = await following
        finally:
            if following:
                following.cancel()


def _check_here(message: Message) -> None:
    if message["type"] == "http.disconnect":
        raise ClientGone


def _read(line: bytes | MalformedMessage) -> StreamRequest | MalformedMessage:
    if isinstance(line, MalformedMessage):
        return line
    try:
        return _request(parse_json(line, "the line"))
    except MalformedMessage as error:
        return error


def _request(value: object) -> StreamRequest:
    """Return the request of a line. Raise MalformedMessage, with the id where it has one."""
    if isinstance(value, str):
        return StreamRequest("", value)
    if not isinstance(value, dict):
        raise MalformedMessage('the line is neither a string nor an object with a "text"')
    request_id = value.get("id", "")
    if not isinstance(request_id, str) or any("\ud800" <= c <= "\udfff" for c in request_id):
        raise MalformedMessage('the "id" of the line is not a string of Unicode')
    if not isinstance(value.get("text"), str):
        raise MalformedMessage('the line has no "text" that is a string', request_id=request_id)
    return StreamRequest(request_id, value["text"])


def _result(replies: Replies, item: StreamResult) -> dict[str, Any]:
    reply = replies.stream_item(item.id, item.result)
    if reply.HasField("error"):
        return {"id": reply.id, "error": error_body(reply.error)}
    return MessageToDict(reply, always_print_fields_with_no_presence=True)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n" if value else b""


def _options(query: bytes) -> StreamOptions:
    """Return the options of ``?overlength=reject&order=ready``. Raise InvalidField."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise InvalidField(
                name[:MAX_SHOWN_CHARACTERS], f"is no option of a stream: there are {known}"
            )
        if name in given:
            raise InvalidField(name, "is given twice")
        given[name] = value
    return StreamOptions(
        read_overlength(
            value_named(pb.Overlength, "overlength", given.get("overlength", "unspecified")),
            "overlength",
        ),
        read_order(value_named(pb.Order, "order", given.get("order", "unspecified")), "order"),
    )
