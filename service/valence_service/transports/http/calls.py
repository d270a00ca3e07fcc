"""A call over HTTP: its scope, its token, its deadline, and the error that ends it."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from valence_service.core.call import (
    REQUEST_ID,
    CallScope,
    HttpRequest,
    Outcome,
    RpcSystem,
    Telemetry,
)
from valence_service.core.errors import DeadlinePassed, InvalidField
from valence_service.core.failure import explain
from valence_service.transports.http.bodies import Bodies, ClientGone
from valence_service.transports.http.errors import error_response
from valence_service.transports.http.json_text import shown
from valence_service.transports.status import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

    from valence_service.core.errors import Unauthenticated, ValenceError
    from valence_service.core.failure import Failure
    from valence_service.transports.auth import Authenticator
    from valence_service.transports.unary import UnaryMethod

# The header of Connect, which every path takes, and that of gRPC-Web.
TIMEOUT = "connect-timeout-ms"
GRPC_TIMEOUT = "grpc-timeout"
TOO_LATE = "the deadline has passed before the answer came"
_TIMEOUT = re.compile(r"[0-9]{1,10}")
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class HttpCall(CallScope):
    """A call over HTTP. Its outcome is set by whoever answers it."""

    __slots__ = ("headers", "outcome", "refusal")

    def __init__(
        self, telemetry: Telemetry, method: str, scope: Scope, via: RpcSystem | HttpRequest
    ) -> None:
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.outcome = Outcome.OK
        self.refusal: ValenceError | None = None
        timeout = None
        try:
            timeout = timeout_seconds(self.headers)
        except InvalidField as error:
            self.refusal = error
        if timeout == 0:
            self.refusal = DeadlinePassed(TOO_LATE)
        super().__init__(
            telemetry,
            method,
            metadata=self.headers,
            peer=lambda: _peer(scope),
            deadline=None if timeout is None else asyncio.get_running_loop().time() + timeout,
            via=via,
        )

    def fail(self, error: Exception) -> Failure:
        """Count the refusal, note the outcome, and return what to tell the client of error."""
        self.refused(error)
        failure = explain(error)
        self.outcome = OUTCOMES[failure.kind]
        return failure

    def _outcome(self, kind: type[BaseException] | None) -> Outcome:
        return self.outcome if kind is None else super()._outcome(kind)


@dataclass(frozen=True, slots=True)
class Gate:
    """What each call passes first."""

    telemetry: Telemetry
    authenticator: Authenticator | None
    bodies: Bodies

    def open(self, method: str, scope: Scope, via: RpcSystem | HttpRequest) -> HttpCall:
        """Return the scope of a call, with its refusal where its token or its timeout is wrong."""
        refusal = self.refusal(scope)
        # Strangers are counted, and write nothing into the traces.
        telemetry = Telemetry(meter=self.telemetry.meter) if refusal else self.telemetry
        call = HttpCall(telemetry, method, scope, via)
        call.refusal = refusal or call.refusal
        return call

    def refusal(self, scope: Scope) -> Unauthenticated | None:
        """Return why a request is refused, None where its token is right or none is needed."""
        if self.authenticator is None:
            return None
        authorization = _header(scope, b"authorization")
        if self.authenticator.accepts(authorization):
            return None
        return self.authenticator.refusal(authorization, lambda: _peer(scope))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of the contract at a path of its own: an ASGI application."""

    gate: Gate
    method: UnaryMethod
    """What the call counts as; its admission comes before the body."""
    answer: Callable[[HttpCall, bytes, Scope], Awaitable[Response]]
    route: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, or tell why there is no answer."""
        with self.gate.open(self.method.name, scope, http_request(scope, self.route)) as call:
            try:
                async with asyncio.timeout_at(call.deadline) as timeout:
                    if call.refusal:
                        raise call.refusal
                    self.method.admit(call)
                    body = await self.gate.bodies.read(call.headers, receive)
                    async with leaving_with_client(receive, timeout):
                        response = await self.answer(call, body, scope)
            except ClientGone:
                call.outcome = Outcome.CANCELLED
                return
            except Exception as error:
                if isinstance(error, TimeoutError) and timeout.expired():
                    error = DeadlinePassed(TOO_LATE)
                response = error_response(error, call.fail(error))
            await response(scope, receive, with_request_id(send, call))


@asynccontextmanager
async def leaving_with_client(
    receive: Receive, timeout: asyncio.Timeout, *, after: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """Stop what is awaited once the client has closed the connection: raise ClientGone.

    ``after`` is set once the body has been read: nothing else may receive from then on.
    """
    gone = False

    async def watch() -> None:
        nonlocal gone
        if after:
            await after.wait()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        if not timeout.expired():
            timeout.reschedule(asyncio.get_running_loop().time())

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            raise ClientGone from None
        raise
    finally:
        watching.cancel()


def http_request(scope: Scope, route: str) -> HttpRequest:
    """Return what a trace says of a request."""
    return HttpRequest(scope["method"], route, scope["path"], scope["scheme"])


def with_request_id(send: Send, call: CallScope) -> Send:
    """Give the response the call's id, and the call the response's status."""

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            call.http_status = message["status"]
            header = (REQUEST_ID.encode(), call.request_id.encode())
            message["headers"] = [*message.get("headers", ()), header]
        await send(message)

    return send_with_id


def timeout_seconds(headers: dict[str, str]) -> float | None:
    """Return the time that a client gives its call, None where it gives none.

    Raise InvalidField for one that cannot be read: an answer might come when the client no longer
    waits.
    """
    if (given := headers.get(TIMEOUT)) is not None:
        if _TIMEOUT.fullmatch(given):
            return int(given) / 1e3
        raise InvalidField(TIMEOUT, f"{shown(given)} is no whole number of up to ten digits")
    if (given := headers.get(GRPC_TIMEOUT)) is not None:
        if found := _GRPC_TIMEOUT.fullmatch(given):
            return int(found[1]) * _UNIT_SECONDS[found[2]]
        raise InvalidField(GRPC_TIMEOUT, f"{shown(given)} is no number with a unit, such as 500m")
    return None


def _header(scope: Scope, name: bytes) -> str:
    """Return the first header of that name, or an empty string."""
    found: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    return found.decode("latin-1")


def _peer(scope: Scope) -> str:
    host, port = scope.get("client") or ("unknown", 0)
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
