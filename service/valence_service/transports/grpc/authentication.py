"""The token of a gRPC call, checked before its handler is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from valence_service.core.call import Telemetry
from valence_service.transports.contract import METHODS, SERVICE_NAME
from valence_service.transports.grpc.calls import GrpcCall
from valence_service.transports.grpc.status import abort

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from valence_service.transports.auth import Authenticator
    from valence_service.transports.unary import UnaryService

    Context = grpc.aio.ServicerContext[Any, Any]

# The metrics' name for a method of no service.
OTHER_METHOD = "other"


class Authentication(grpc.aio.ServerInterceptor):
    """Lets a call pass with a token of the file, or where its method is public.

    ``public`` are the beginnings of the public methods' names.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        public: tuple[str, ...],
        telemetry: Telemetry,
        services: Sequence[UnaryService],
    ) -> None:
        self._authenticator = authenticator
        self._public = public
        # Refused strangers are counted, and write nothing into the traces.
        self._telemetry = Telemetry(meter=telemetry.meter)
        self._refusals = {f"/{SERVICE_NAME}/{name}": self._refuse(name) for name in METHODS}
        for service in services:
            for method in service.methods:
                self._refusals[service.path(method)] = self._refuse(method.name)
        self._other_refusal = self._refuse(OTHER_METHOD)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler, or one that refuses."""
        method = handler_call_details.method
        if method.startswith(self._public) or self._authenticator.accepts(
            _authorization(handler_call_details.invocation_metadata)
        ):
            return await continuation(handler_call_details)
        return self._refusals.get(method, self._other_refusal)

    def _refuse(self, method: str) -> Any:
        """Return a stream's handler, for any call: it need not wait for a message."""

        async def refused(requests: AsyncIterator[bytes], context: Context) -> None:
            given = _authorization(context.invocation_metadata())
            with GrpcCall(self._telemetry, method, context) as call:
                await abort(context, self._authenticator.refusal(given, lambda: call.peer))

        return grpc.stream_stream_rpc_method_handler(refused)


def _authorization(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Return the first authorization of a call, or an empty string."""
    return next((str(value) for name, value in metadata or () if name == "authorization"), "")
