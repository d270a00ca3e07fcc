"""The outermost wrapper of every call: its scope, undecodable bytes, errors, a bound on reading.

All calls of one message are registered as calls of many (``stream_unary``, ``stream_stream``). gRPC
then hands a call over before its message has come, and leaves the reading to the handler. That is
what lets a call be refused before its message is read, and undecodable bytes be answered with the
contract's errors. ``tests/transports/grpc/test_unread_messages.py`` holds what this relies on.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from valence_service.core.call import REQUEST_ID, CallScope, Outcome, Telemetry
from valence_service.core.errors import Draining, MalformedMessage
from valence_service.transports.grpc.status import abort

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from google.protobuf.message import Message

    from valence_service.transports.grpc.load_reports import LoadReports

    Context = grpc.aio.ServicerContext[Any, Any]

# The time from the headers of a call of one message to its whole message.
MESSAGE_SECONDS = 60.0
# The same once the service is ending. A small message comes right after its headers.
LAST_MESSAGE_SECONDS = 0.5
# The least time between two looks for reads that are overdue.
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands for a message whose bytes could not be read.

    gRPC would end the call with the exception's text, and a stream with all that was in flight.
    """

    description: str


class GrpcCall(CallScope):
    """A call of gRPC."""

    __slots__ = ("_context",)

    def __init__(self, telemetry: Telemetry, method: str, context: Context) -> None:
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        remaining = context.time_remaining()
        super().__init__(
            telemetry,
            method,
            metadata=metadata,
            peer=context.peer,
            deadline=None if remaining is None else asyncio.get_running_loop().time() + remaining,
        )
        self._context = context

    def _outcome(self, kind: type[BaseException] | None) -> Outcome:
        if kind is None:
            return Outcome.OK
        if issubclass(kind, grpc.aio.AbortError):
            # grpc.aio keeps a number, and its types say otherwise.
            code: Any = self._context.code()
            return Outcome(getattr(code, "value", (code,))[0])
        # The client has gone, or its deadline has ended the call.
        late = self._context.time_remaining() == 0
        return Outcome.DEADLINE_EXCEEDED if late else Outcome.CANCELLED


class Reads:
    """The reads under way, so that nothing that a client leaves open holds up the end.

    One timer watches all of them: an ``asyncio.timeout`` for each would cost every call as much as
    a twentieth of what gRPC does.
    """

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ending = False

    def __len__(self) -> int:
        return len(self._due)

    def end(self) -> None:
        """Give each read under way LAST_MESSAGE_SECONDS more, and those that follow no more."""
        self._ending = True
        due = asyncio.get_running_loop().time() + LAST_MESSAGE_SECONDS
        self._due = dict.fromkeys(self._due, due)
        if self._timer:
            self._timer.cancel()
        self._watch()

    async def next(self, context: Context, seconds: float = math.inf) -> Any:
        """Return the next message, or EOF. Raise TimeoutError, or Draining once ending."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None:
            raise RuntimeError("a handler runs in a task")
        self._due[task] = loop.time() + (LAST_MESSAGE_SECONDS if self._ending else seconds)
        if self._timer is None:
            self._watch()
        try:
            return await context.read()
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise  # the client has gone
            task.uncancel()
            if self._ending:
                raise Draining("the server is ending: call another one") from None
            raise TimeoutError from None
        finally:
            del self._due[task]
            self._overdue.discard(task)

    def _watch(self) -> None:
        """Look again when the first read is due."""
        self._timer = None
        waiting = (due for task, due in self._due.items() if task not in self._overdue)
        if (due := min(waiting, default=math.inf)) < math.inf:
            loop = asyncio.get_running_loop()
            # Each look goes through all reads, so it waits for several to be due.
            self._timer = loop.call_at(max(due, loop.time() + LOOK_SECONDS), self._end_overdue)

    def _end_overdue(self) -> None:
        now = asyncio.get_running_loop().time()
        for task, due in self._due.items():
            if due <= now and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        self._watch()

    async def only(self, context: Context, name: str) -> Any:
        """Return the message of a call of one. Raise MalformedMessage or Draining without one."""
        try:
            message = await self.next(context, MESSAGE_SECONDS)
        except TimeoutError:
            raise MalformedMessage(
                f"no whole {name}Request has come in {MESSAGE_SECONDS:g} s"
            ) from None
        if message is grpc.aio.EOF:
            # Or the client has gone. Then the error cannot be sent, and the call counts as such.
            raise MalformedMessage(f"the call ended without a {name}Request")
        if isinstance(message, Undecodable):
            raise MalformedMessage(message.description)
        return message


@dataclass(frozen=True, slots=True)
class Wrapper:
    """Wraps handlers of the contract.

    Once for all calls: an interceptor would be asked anew for each.
    """

    telemetry: Telemetry
    reads: Reads
    loads: LoadReports

    def unary(
        self,
        name: str,
        answer: Callable[[Any], Awaitable[Any]],
        request: type[Message],
        response: type[Message],
        *,
        admit: Callable[[CallScope], None],
    ) -> Any:
        """Wrap a method that answers one message; admit refuses a call before it is read."""

        async def handle(_: AsyncIterator[Any], context: Context) -> Any:
            with GrpcCall(self.telemetry, name, context) as call:
                self.loads.count()
                try:
                    admit(call)
                    reply = await answer(await self.reads.only(context, name))
                except Exception as error:
                    # Not a cancellation: then the client has gone, or its deadline has passed.
                    await abort(context, error, self.loads.trailers)
                context.set_trailing_metadata(((REQUEST_ID, call.request_id), *self.loads.trailers))
                return reply

        return grpc.stream_unary_rpc_method_handler(
            handle, reader(request), response.SerializeToString
        )

    def stream(
        self,
        name: str,
        answer: Callable[[Any], AsyncGenerator[Any]],
        request: type[Message],
        response: type[Message],
    ) -> Any:
        """Wrap a method that answers many messages."""

        async def handle(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            with GrpcCall(self.telemetry, name, context) as call:
                context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
                try:
                    async with aclosing(answer(requests)) as responses:
                        async for reply in responses:
                            yield reply
                except Exception as error:
                    await abort(context, error)

        return grpc.stream_stream_rpc_method_handler(
            handle, reader(request), response.SerializeToString
        )


def reader(request: type[Message]) -> Callable[[bytes], Message | Undecodable]:
    """Return a decoder that gives Undecodable where the bytes are not the message."""
    decode = request.FromString

    def read(data: bytes) -> Message | Undecodable:
        try:
            return decode(data)
        except DecodeError:
            return Undecodable(
                f"the {len(data)} bytes are not a {request.DESCRIPTOR.full_name}: they are cut or "
                "mangled, or a string in them is not UTF-8"
            )

    return read
