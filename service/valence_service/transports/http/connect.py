"""Connect and gRPC-Web: connectrpc's application over the messages of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication, Endpoint
from starlette.datastructures import Headers
from valence.v1 import sentiment_pb2 as pb

from valence_service.core.call import Outcome, RpcSystem
from valence_service.core.errors import DeadlinePassed, ValenceError
from valence_service.transports.contract import SERVICE_NAME
from valence_service.transports.http.calls import (
    GRPC_TIMEOUT,
    TIMEOUT,
    TOO_LATE,
    with_request_id,
)
from valence_service.transports.http.codecs import (
    BinaryCodec,
    JsonCodec,
    http_call,
    packed_details,
)
from valence_service.transports.http.errors import (
    code_name,
    error_headers,
    error_response,
    json_error,
)
from valence_service.transports.http.json_text import MAX_SHOWN_CHARACTERS
from valence_service.transports.http.ndjson import STREAM_PATH
from valence_service.transports.status import status_of
from valence_service.transports.unary import UnaryMethod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from connectrpc.request import RequestContext
    from google.protobuf.message import Message
    from starlette.types import Receive, Scope, Send

    from valence_service.core.limits import Limits
    from valence_service.transports.http.calls import Gate, HttpCall

    Context = RequestContext[Any, Any]

PATH = f"/{SERVICE_NAME}"
_STREAM = "StreamClassify"
_GRPC_WEB = {"application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json"}
_UNARY_TYPES = {"application/json", "application/proto"} | _GRPC_WEB
_STREAM_TYPES = {"application/connect+json", "application/connect+proto"} | _GRPC_WEB
_NO_STREAM = f"streams are lines of JSON here: POST {STREAM_PATH}, or use gRPC"


class ConnectApp:
    """Carries the unary calls over Connect and gRPC-Web: an ASGI application."""

    def __init__(self, methods: Sequence[UnaryMethod], gate: Gate, limits: Limits) -> None:
        self._gate = gate
        self._app = _Application(
            service=methods,
            endpoints=_endpoints,
            interceptors=[_Refusals(methods)],
            read_max_bytes=gate.bodies.max_bytes,
            codecs=[BinaryCodec(), JsonCodec(limits.max_batch_texts)],
            # connectrpc's gzip takes a time that grows with the square of the body's members.
            compressions=[],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        method = scope["path"].rpartition("/")[2]
        content_type = (
            Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        )
        system = RpcSystem.GRPC if content_type in _GRPC_WEB else RpcSystem.CONNECT
        with self._gate.open(method, scope, system) as call:
            send = with_request_id(send, call)
            if content_type in (_STREAM_TYPES if method == _STREAM else _UNARY_TYPES):
                scope = {**scope, "headers": _readable_headers(scope, call)}
                await self._app(
                    scope, self._gate.bodies.bounded(receive), _noting_status(send, call)
                )
                return
            if call.refusal:
                response = error_response(call.refusal, call.fail(call.refusal))
            else:
                call.outcome = Outcome.UNIMPLEMENTED
                message = _NO_STREAM if method == _STREAM else _wrong_type(content_type)
                response = json_error(call.outcome, message, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            await response(scope, receive, send)


class _Application(ConnectASGIApplication[Sequence[UnaryMethod]]):
    @property
    def path(self) -> str:
        return PATH


class _Refusals:
    """Refuses a call before its message is read, and notes how each call ends."""

    def __init__(self, methods: Sequence[UnaryMethod]) -> None:
        self._admissions = {method.name: method.admit for method in methods}

    async def on_start(self, ctx: Context) -> None:
        call = http_call()
        try:
            if call.refusal:
                raise call.refusal
            if admit := self._admissions.get(ctx.method.name):
                admit(call)
        except ValenceError as error:
            raise _connect_error(error, ctx) from None

    async def on_end(self, _: None, ctx: Context, error: Exception | None) -> None:
        call = http_call()
        if isinstance(error, ConnectError) and call.outcome is Outcome.OK:
            # connectrpc's own: a deadline, a body that is too large, an unknown encoding.
            if error.code is Code.DEADLINE_EXCEEDED:
                raise _connect_error(DeadlinePassed(TOO_LATE), ctx)
            call.outcome = _OUTCOMES[error.code]


def _endpoints(methods: Sequence[UnaryMethod]) -> Mapping[str, Any]:
    endpoints: dict[str, Any] = {
        f"{PATH}/{method.name}": Endpoint.unary(
            _method(method.name, method.request, method.response, StreamType.UNARY),
            _answering(method.answer),
        )
        for method in methods
    }
    stream = _method(
        _STREAM,
        pb.StreamClassifyRequest,
        pb.StreamClassifyResponse,
        StreamType.BIDI_STREAM,
    )
    endpoints[f"{PATH}/{_STREAM}"] = Endpoint.bidi_stream(stream, _unimplemented)
    return endpoints


def _method(
    name: str, request: type[Message], response: type[Message], stream_type: StreamType
) -> MethodInfo[Any, Any]:
    return MethodInfo(
        name=name,
        service_name=SERVICE_NAME,
        input=request,
        output=response,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=stream_type,
    )


def _answering(
    answer: Callable[[Any], Awaitable[Message]],
) -> Callable[[Any, Context], Awaitable[Message]]:
    async def handle(request: Any, ctx: Context) -> Message:
        try:
            return await answer(request)
        except Exception as error:  # no exception's text reaches the client
            raise _connect_error(error, ctx) from None

    return handle


def _wrong_type(content_type: str) -> str:
    given = content_type[:MAX_SHOWN_CHARACTERS] or "a body without content-type"
    return (
        f"{given} is not taken here: Connect is application/json or application/proto, gRPC-Web is "
        "application/grpc-web+proto, and plain gRPC has a port of its own"
    )


def _unimplemented(_: AsyncIterator[Any], ctx: Context) -> AsyncIterator[Any]:
    raise ConnectError(Code.UNIMPLEMENTED, _NO_STREAM)


def _connect_error(error: Exception, ctx: Context) -> ConnectError:
    """Return the error that ends a call, count its refusal, and note the outcome."""
    failure = http_call().fail(error)
    status = status_of(failure)
    for name, value in error_headers(failure).items():
        ctx.response_headers[name] = value
    return ConnectError(Code(code_name(status.code)), status.message, packed_details(status))


def _readable_headers(scope: Scope, call: HttpCall) -> list[tuple[bytes, bytes]]:
    """Return the headers that connectrpc can read.

    It takes those of a request to be UTF-8, and tells the client of an error in one that is not. A
    refused call is refused for its timeout by the contract's own error.
    """
    unread = (TIMEOUT.encode(), GRPC_TIMEOUT.encode()) if call.refusal else ()
    return [
        (name, value) for name, value in scope["headers"] if value.isascii() and name not in unread
    ]


def _noting_status(send: Send, call: HttpCall) -> Send:
    """Note the outcome of a call that connectrpc refuses before it asks for its admission."""

    async def noting(message: Any) -> None:
        if (
            message["type"] == "http.response.start"
            and message["status"] >= HTTPStatus.BAD_REQUEST
            and call.outcome is Outcome.OK
        ):
            call.outcome = Outcome.INVALID_ARGUMENT
        await send(message)

    return noting


_OUTCOMES = {Code(code_name(outcome)): outcome for outcome in Outcome if outcome is not Outcome.OK}
