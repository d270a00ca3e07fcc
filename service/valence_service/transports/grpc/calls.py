"""The outermost wrapper of every call of the contract: ids, errors translated, the call told of."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from valence.v1 import sentiment_pb2 as pb

from valence_service.core.call import REQUEST_ID, Call, current, request_id
from valence_service.core.clock import now
from valence_service.core.errors import MalformedMessage
from valence_service.transports.grpc.status import abort

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from valence_service.core.call import Meter, Tracer

    Context = grpc.aio.ServicerContext[Any, Any]
    Admit = Callable[[Context], None]
    """Raises where a call is refused before its message is read."""

# How much later than the end of a call's messages grpc may tell that the call is over.
CANCELLED_WITHIN_SECONDS = 0.1
_SERVICE = pb.DESCRIPTOR.services_by_name["SentimentService"]
SERVICE_NAME = _SERVICE.full_name
METHODS = tuple(method.name for method in _SERVICE.methods)
_CODE_NAMES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}
_OK: int = grpc.StatusCode.OK.value[0]
_CANCELLED: int = grpc.StatusCode.CANCELLED.value[0]
_DEADLINE_EXCEEDED: int = grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
_logger = logging.getLogger("valence_service")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands for a message whose bytes could not be read.

    grpc would end the call with the exception's text, and a stream with all that was in flight.
    """

    description: str


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Who is told of each call, if anyone."""

    meter: Meter | None = None
    tracer: Tracer | None = None


class CallScope(Call):
    """A call from its beginning to its end: ``with CallScope(...)``. Each passes here: be quick."""

    __slots__ = ("_context", "_method", "_started")

    def __init__(self, telemetry: Telemetry, method: str, context: Context) -> None:
        self._method = method
        self._context = context
        self._started = now()
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        self.request_id = request_id(metadata.get(REQUEST_ID))
        self.traceparent = metadata.get("traceparent", "")
        self.meter = telemetry.meter
        self.span = telemetry.tracer.begin(method, metadata) if telemetry.tracer else None
        self.timings = ()

    def __enter__(self) -> None:
        current.set(self)
        self._context.set_trailing_metadata(((REQUEST_ID, self.request_id),))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        seconds = now() - self._started
        code = _OK if kind is None else _code(self._context, kind)
        if self.meter:
            self.meter.ended(self._method, _CODE_NAMES[code], seconds)
        if self.span:
            self.span.end(code, self.timings)
        if _logger.isEnabledFor(logging.DEBUG):
            log.debug(
                "call",
                method=self._method,
                peer=self._context.peer(),
                code=_CODE_NAMES[code],
                seconds=round(seconds, 6),
            )


def _code(context: Context, kind: type[BaseException]) -> int:
    """The status of a call that ended with an exception: aborted, or cut off."""
    if issubclass(kind, Exception):
        # grpc.aio keeps a number, and its types say otherwise.
        code: Any = context.code()
        return int(getattr(code, "value", (code,))[0])
    return _DEADLINE_EXCEEDED if context.time_remaining() == 0 else _CANCELLED


def observed(
    handlers: Mapping[str, Any], telemetry: Telemetry, admit: Mapping[str, Admit]
) -> dict[str, Any]:
    """The handlers of the contract's methods, wrapped, with what admits their calls, if anything.

    Once for all calls: an interceptor would be asked anew for each.
    """
    return {
        name: _wrap(handler, name, telemetry, admit.get(name)) for name, handler in handlers.items()
    }


def _wrap(handler: Any, name: str, telemetry: Telemetry, admit: Admit | None) -> Any:
    decode, answer, answers = (
        handler.request_deserializer,
        handler.unary_unary,
        handler.stream_stream,
    )

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError:
            return Undecodable(
                f"the {len(data)} bytes are not a {name}Request of valence.v1: they are cut or "
                "mangled, or a string in them is not UTF-8"
            )

    # Cancellation passes through both: the caller has gone, or its deadline has ended the call.

    async def unary(_: AsyncIterator[Any], context: Context) -> Any:
        with CallScope(telemetry, name, context):
            try:
                if admit:
                    admit(context)
                request = await context.read()
                if request is grpc.aio.EOF:
                    # Or has the caller gone, or its deadline passed? Then this is cancelled.
                    await asyncio.sleep(CANCELLED_WITHIN_SECONDS)
                    raise MalformedMessage(f"the call ended without a {name}Request")
                if isinstance(request, Undecodable):
                    raise MalformedMessage(request.description)
                return await answer(request, context)
            except Exception as error:
                await abort(context, error)

    async def stream(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        with CallScope(telemetry, name, context):
            try:
                async with aclosing(answers(requests, context)) as responses:
                    async for response in responses:
                        yield response
            except Exception as error:
                await abort(context, error)

    if answer:
        # As if of a stream: grpc then leaves the one message to be read, which saves a sixth of a
        # refusal's cost and leaves an admitted call's as it is (docs/decisions/0010).
        return grpc.stream_unary_rpc_method_handler(unary, read, handler.response_serializer)
    return grpc.stream_stream_rpc_method_handler(stream, read, handler.response_serializer)
