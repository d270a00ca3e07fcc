"""Connect and gRPC-Web: connectrpc's application over the messages of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar, cast

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf import json_format
from google.protobuf.message import Message
from protobuf.wkt import Any as PackedDetail
from valence.v1 import sentiment_pb2 as pb

from valence_service.core.call import Outcome, current_call
from valence_service.core.errors import MalformedMessage, ValenceError
from valence_service.transports.contract import SERVICE_NAME
from valence_service.transports.http.bodies import check_json
from valence_service.transports.http.calls import HttpCall, with_request_id
from valence_service.transports.http.errors import (
    code_name,
    error_headers,
    error_response,
    json_error,
)
from valence_service.transports.status import status_of
from valence_service.transports.unary import UnaryMethod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from connectrpc.request import RequestContext
    from starlette.types import Receive, Scope, Send

    from valence_service.core.limits import Limits
    from valence_service.transports.http.calls import Gate

    Context = RequestContext[Any, Any]

M = TypeVar("M", bound=Message)
PATH = f"/{SERVICE_NAME}"
STREAM_PATH = "/v1/stream"
_CONTENT_TYPES = {
    *("application/json", "application/proto"),
    *("application/connect+json", "application/connect+proto"),
    *("application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json"),
}


class ConnectApp:
    """Carries the unary calls over Connect and gRPC-Web: an ASGI application."""

    def __init__(self, methods: Sequence[UnaryMethod], gate: Gate, limits: Limits) -> None:
        self._gate = gate
        self._app = _Application(
            service=methods,
            endpoints=_endpoints,
            interceptors=[_Refusals(methods)],
            read_max_bytes=gate.bodies.max_bytes,
            codecs=[_Binary(), _Json(limits.max_batch_texts)],
            # connectrpc's gzip takes a time that grows with the square of the body's members.
            compressions=[],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        method = scope["path"].rpartition("/")[2]
        call = self._gate.open(method, scope)
        with call:
            send = with_request_id(send, call)
            content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
            if content_type in _CONTENT_TYPES:
                await self._app(scope, self._gate.bodies.bounded(receive), send)
                return
            if call.refusal:
                response = error_response(call.refusal, call.fail(call.refusal))
            else:
                call.outcome = Outcome.UNIMPLEMENTED
                response = json_error(
                    Outcome.UNIMPLEMENTED,
                    f"{content_type or 'a body without content-type'} is not taken here: Connect "
                    "is application/json or application/proto; plain gRPC has a port of its own",
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                )
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
        call = _call()
        try:
            if call.refusal:
                raise call.refusal
            if admit := self._admissions.get(ctx.method.name):
                admit(call)
        except ValenceError as error:
            raise _connect_error(error, ctx) from None

    async def on_end(self, _: None, ctx: Context, error: Exception | None) -> None:
        if isinstance(error, ConnectError) and _call().outcome is Outcome.OK:
            # connectrpc's own: a deadline, a message that cannot be read, an unknown encoding.
            _call().outcome = _OUTCOMES[error.code]


class _Binary:
    """Protocol Buffers, as the contract's stubs have them."""

    def name(self) -> str:
        return "proto"

    def encode(self, message: Message) -> bytes:
        return message.SerializeToString()

    def decode(self, data: bytes | bytearray, message_class: type[M]) -> M:
        try:
            return message_class.FromString(bytes(data))
        except Exception:  # its text is not for the client
            raise _malformed(data, message_class) from None


class _Json:
    """Protocol Buffers' own JSON."""

    def __init__(self, max_texts: int) -> None:
        self._max_texts = max_texts

    def name(self) -> str:
        return "json"

    def encode(self, message: Message) -> bytes:
        return json_format.MessageToJson(message, indent=None).encode()

    def decode(self, data: bytes | bytearray, message_class: type[M]) -> M:
        try:
            check_json(data, self._max_texts)
            return json_format.Parse(bytes(data), message_class(), ignore_unknown_fields=True)
        except Exception:  # its text is not for the client
            raise _malformed(data, message_class) from None


def _endpoints(methods: Sequence[UnaryMethod]) -> Mapping[str, Any]:
    endpoints: dict[str, Any] = {
        f"{PATH}/{method.name}": Endpoint.unary(
            _method(method.name, method.request, method.response, StreamType.UNARY),
            _answering(method.answer),
        )
        for method in methods
    }
    stream = _method(
        "StreamClassify",
        pb.StreamClassifyRequest,
        pb.StreamClassifyResponse,
        StreamType.BIDI_STREAM,
    )
    endpoints[f"{PATH}/StreamClassify"] = Endpoint.bidi_stream(stream, _unimplemented)
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


def _unimplemented(_: AsyncIterator[Any], ctx: Context) -> AsyncIterator[Any]:
    raise ConnectError(
        Code.UNIMPLEMENTED, f"streams are lines of JSON here: POST {STREAM_PATH}, or use gRPC"
    )


def _connect_error(error: Exception, ctx: Context) -> ConnectError:
    """Return the error that ends a call, count its refusal, and note the outcome."""
    failure = _call().fail(error)
    status = status_of(failure)
    for name, value in error_headers(failure).items():
        ctx.response_headers[name] = value
    details = [PackedDetail(type_url=d.type_url, value=d.value) for d in status.details]
    return ConnectError(Code(code_name(status.code)), status.message, details)


def _malformed(data: bytes | bytearray, message_class: type[Message]) -> ConnectError:
    name = message_class.DESCRIPTOR.full_name
    error = MalformedMessage(f"the {len(data)} bytes are not a {name}")
    status = status_of(_call().fail(error))
    details = [PackedDetail(type_url=d.type_url, value=d.value) for d in status.details]
    return ConnectError(Code.INVALID_ARGUMENT, status.message, details)


def _call() -> HttpCall:
    return cast("HttpCall", current_call())


_OUTCOMES = {Code(code_name(outcome)): outcome for outcome in Outcome if outcome is not Outcome.OK}
