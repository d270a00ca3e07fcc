"""The server's own status of a grpc.aio stream, which grpc.aio may overwrite.

When the server ends a stream while the client writes, the write fails, and grpc.aio replaces the
server's status with INTERNAL (grpc/grpc#36066). About half of the streams that a server ends while
texts are being sent are affected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

OVERWRITTEN = "Internal error from Core"


class Ending:
    """Remembers the server's status of a call."""

    def __init__(self, call: grpc.aio.Call) -> None:
        """Watch the call until it is done."""
        self._given: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    def status(self, raised: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """Return the server's status of a call whose reading raised. Its code may be OK."""
        if raised.details() == OVERWRITTEN and self._given is not None:
            return self._given
        return raised

    def _note(self, call: grpc.aio.Call) -> None:
        # Some releases report both statuses, one after the other.
        details = _now(call.details())
        if details != OVERWRITTEN:
            self._given = grpc.aio.AioRpcError(
                _now(call.code()),
                initial_metadata=grpc.aio.Metadata(),  # older releases require it
                trailing_metadata=_now(call.trailing_metadata()),
                details=details,
            )


def _now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits, as those of a finished call."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise RuntimeError("the call is not done")
