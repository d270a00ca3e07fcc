"""A client of grpc.health.v1.

Its two messages have one field each, and are the same on the wire as two of protobuf's own types.
So no stubs are needed, nor a package of gRPC's that fits only one version of grpcio.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from valence_client._connection import SERVICE
from valence_client._status import error_of_call
from valence_client.cli.ending import in_flags, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valence_client.cli.connection import Connection

SERVING, UNREACHABLE = "SERVING", "UNREACHABLE"
_STATUSES = ("UNKNOWN", SERVING, "NOT_SERVING", "SERVICE_UNKNOWN")
_METHOD = "/grpc.health.v1.Health/"
PAUSE_SECONDS = 0.5


def check(connection: Connection) -> str:
    """Return the service's status. Raise ValenceError."""
    with connection.channel() as channel:
        call = channel.unary_unary(
            _METHOD + "Check",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=Int32Value.FromString,
        )
        try:
            response = call(
                StringValue(value=SERVICE),
                timeout=connection.timeout_seconds,
                metadata=connection.metadata(),
            )
        except grpc.RpcError as error:
            raise error_of_call(error, connection.peer) from error
    return _name(response)


def watch(connection: Connection, *, timeout_seconds: float | None) -> Iterator[str]:
    """Yield each new status, and UNREACHABLE while no server answers. End after the time.

    Print why no server answers to stderr.

    Raise ValenceError if another call would not help.
    """
    ends = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    last = None
    with connection.channel() as channel:
        method = channel.unary_stream(
            _METHOD + "Watch",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=Int32Value.FromString,
        )
        while (left := _left(ends)) is None or left > 0:
            try:
                for response in method(
                    StringValue(value=SERVICE), timeout=left, metadata=connection.metadata()
                ):
                    if (status := _name(response)) != last:
                        yield status
                    last = status
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and _left(ends) is not None:
                    return
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise error_of_call(error, connection.peer) from error
                if last != UNREACHABLE:
                    say(in_flags(str(error_of_call(error, connection.peer))))
                    yield UNREACHABLE
                last = UNREACHABLE
            pause = PAUSE_SECONDS if (left := _left(ends)) is None else min(PAUSE_SECONDS, left)
            time.sleep(pause)


def _left(ends: float | None) -> float | None:
    return None if ends is None else max(0.0, ends - time.monotonic())


def _name(response: Int32Value) -> str:
    value = response.value
    return _STATUSES[value] if 0 <= value < len(_STATUSES) else _STATUSES[0]
