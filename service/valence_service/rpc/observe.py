"""The outermost wrapper of every call of the contract: errors translated, the call logged."""

from __future__ import annotations

import logging
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from valence.v1 import sentiment_pb2 as pb

from valence_service.rpc.status import translated
from valence_service.sentiment import MalformedMessage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["SentimentService"].full_name
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands for a message whose bytes could not be read.

    grpc would end the call with the exception's text, and a stream with all that was in flight.
    """

    description: str


class Observe(grpc.aio.ServerInterceptor):
    """Wraps the methods of the contract; health and reflection pass untouched."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, wrapped once and kept."""
        method = handler_call_details.method
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None or not method.startswith(f"/{SERVICE_NAME}/"):
                return handler
            self._wrapped[method] = _wrap(handler, method.rsplit("/", 1)[1])
        return self._wrapped[method]


def _wrap(handler: Any, name: str) -> Any:
    decode = handler.request_deserializer

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError:
            return Undecodable(
                f"the {len(data)} bytes are not a {name}Request of valence.v1: they are cut or "
                "mangled, or a string in them is not UTF-8"
            )

    async def unary(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        with _logged(name, context):
            async with translated(context):
                if isinstance(request, Undecodable):
                    raise MalformedMessage(request.description)
                return await handler.unary_unary(request, context)

    async def stream(
        requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        with _logged(name, context):
            async with (
                translated(context),
                aclosing(handler.stream_stream(requests, context)) as responses,
            ):
                async for response in responses:
                    yield response

    if handler.unary_unary:
        return grpc.unary_unary_rpc_method_handler(unary, read, handler.response_serializer)
    return grpc.stream_stream_rpc_method_handler(stream, read, handler.response_serializer)


class _logged:  # noqa: N801  a context manager, named as one is used
    """One debug line for each call, when it ends."""

    def __init__(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._method = method
        self._context = context

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not logging.getLogger("valence_service").isEnabledFor(logging.DEBUG):
            return
        log.debug(
            "call",
            method=self._method,
            peer=self._context.peer(),
            code=_code_name(self._context.code(), kind),
            seconds=round(time.perf_counter() - self._started, 6),
        )


def _code_name(code: Any, kind: type[BaseException] | None) -> str:
    """grpc.aio keeps the code as a number, and none for a call that simply went well."""
    if kind is not None and not issubclass(kind, Exception):
        return grpc.StatusCode.CANCELLED.name
    number = getattr(code, "value", (code,))[0]
    return next((c.name for c in grpc.StatusCode if c.value[0] == number), "OK")
