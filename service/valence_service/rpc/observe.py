"""The outermost wrapper of every call of the contract: errors translated, the call logged."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from valence.v1 import sentiment_pb2 as pb

from valence_service.rpc.status import abort
from valence_service.sentiment import MalformedMessage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["SentimentService"].full_name
_logger = logging.getLogger("valence_service")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands for a message whose bytes could not be read.

    grpc would end the call with the exception's text, and a stream with all that was in flight.
    """

    description: str


def observed(handlers: Mapping[str, Any]) -> dict[str, Any]:
    """The handlers of the contract's methods, wrapped.

    Once for all calls: an interceptor would be asked anew for each.
    """
    return {name: _wrap(handler, name) for name, handler in handlers.items()}


def _wrap(handler: Any, name: str) -> Any:
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

    async def unary(request: Any, context: Context) -> Any:
        started = time.perf_counter()
        try:
            if isinstance(request, Undecodable):
                raise MalformedMessage(request.description)
            return await answer(request, context)
        except Exception as error:
            await abort(context, error)
        finally:
            _log_call(name, context, started)

    async def stream(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        started = time.perf_counter()
        try:
            async with aclosing(answers(requests, context)) as responses:
                async for response in responses:
                    yield response
        except Exception as error:
            await abort(context, error)
        finally:
            _log_call(name, context, started)

    if answer:
        return grpc.unary_unary_rpc_method_handler(unary, read, handler.response_serializer)
    return grpc.stream_stream_rpc_method_handler(stream, read, handler.response_serializer)


def _log_call(method: str, context: Context, started: float) -> None:
    """One debug line for each call, when it ends."""
    if not _logger.isEnabledFor(logging.DEBUG):
        return
    log.debug(
        "call",
        method=method,
        peer=context.peer(),
        code=_code_name(context.code(), sys.exc_info()[0]),
        seconds=round(time.perf_counter() - started, 6),
    )


def _code_name(code: Any, kind: type[BaseException] | None) -> str:
    """grpc.aio keeps the code as a number, and none for a call that simply went well."""
    if kind is not None and not issubclass(kind, Exception):
        return grpc.StatusCode.CANCELLED.name
    number = getattr(code, "value", (code,))[0]
    return next((c.name for c in grpc.StatusCode if c.value[0] == number), "OK")
