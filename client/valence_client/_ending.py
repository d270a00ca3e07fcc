"""How the server ended a stream of grpc.aio.

A write that fails because the server has just ended the stream makes grpc.aio overwrite the
server's status with an INTERNAL of its own (grpc/grpc#36066): about every second time that a
server ends a stream while texts are being sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

OVERWRITTEN = "Internal error from Core"


class Ending:
    """Remembers the status that the server gave a call."""

    def __init__(self, call: grpc.aio.Call) -> None:
        self._given: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    def status(self, raised: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """The server's status, where reading the call raised that. Its code may be OK."""
        if raised.details() == OVERWRITTEN and self._given is not None:
            return self._given
        return raised

    def _note(self, call: grpc.aio.Call) -> None:
        # Some releases tell of both statuses, one after the other.
        details = _now(call.details())
        if details != OVERWRITTEN:
            self._given = grpc.aio.AioRpcError(
                _now(call.code()),
                initial_metadata=grpc.aio.Metadata(),  # older releases cannot do without
                trailing_metadata=_now(call.trailing_metadata()),
                details=details,
            )


def _now(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that need not wait returns: those of a call that is done need not."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise RuntimeError("the call is not done")
