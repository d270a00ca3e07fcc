"""Reflection, under both names that tools ask for, on the event loop.

grpcio's ``enable_server_reflection`` takes anything but its own server class for a synchronous one,
and would then serve each stream in a thread of a small pool.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from valence_service.core.errors import Draining
from valence_service.transports.grpc.calls import Undecodable, reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from google.protobuf.descriptor import FileDescriptor

    from valence_service.transports.grpc.calls import Reads

    Context = grpc.aio.ServicerContext[Any, Any]

# v1 of the protocol is v1alpha under another name; grpcio ships only the latter.
SERVICE_NAMES = (reflection.SERVICE_NAME, "grpc.reflection.v1.ServerReflection")
# v1 answers and is not listed: it has no description to give, and tools that ask for the
# description of all that is listed would stop at it.
LISTED_NAME = reflection.SERVICE_NAME


class _Files:
    """Finds files in the default descriptor pool and in those of other files.

    The database of a further pool: that one pool then describes what several hold.
    """

    def __init__(self, files: Sequence[FileDescriptor]) -> None:
        self._pools = (descriptor_pool.Default(), *(file.pool for file in files))

    def FindFileByName(self, name: str) -> FileDescriptorProto:  # noqa: N802  protobuf's name
        return self._find(lambda pool: pool.FindFileByName(name))

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptorProto:  # noqa: N802  as above
        return self._find(lambda pool: pool.FindFileContainingSymbol(symbol))

    def _find(self, find: Callable[[DescriptorPool], FileDescriptor]) -> FileDescriptorProto:
        for pool in self._pools:
            with suppress(KeyError):
                proto = FileDescriptorProto()
                find(pool).CopyToProto(proto)
                return proto
        raise KeyError


def handlers(
    reads: Reads, services: Sequence[str], files: Sequence[FileDescriptor]
) -> dict[str, Any]:
    """Return the handlers by method, for a server of these services.

    ``files`` describe those of them that are not in the default descriptor pool.
    """
    pool = DescriptorPool(_Files(files)) if files else None
    servicer = reflection.aio.ReflectionServicer((*services, LISTED_NAME), pool)

    async def info(_: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        # An async generator, and its types say otherwise.
        responses: Any = servicer.ServerReflectionInfo(_requests(reads, context), None)
        async for response in responses:
            yield response

    handler = grpc.stream_stream_rpc_method_handler(
        info,
        reader(reflection_pb2.ServerReflectionRequest),
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {"ServerReflectionInfo": handler}


async def _requests(reads: Reads, context: Context) -> AsyncIterator[Any]:
    """Yield the client's requests until it has sent all, or the service ends."""
    try:
        while (request := await reads.next(context)) is not grpc.aio.EOF:
            if isinstance(request, Undecodable):
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, request.description)
            yield request
    except Draining as error:
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
