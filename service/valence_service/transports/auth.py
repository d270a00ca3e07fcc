"""Who may call: bearer tokens from a file."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from valence_service.core.errors import Unauthenticated
from valence_service.core.log_limit import RateLimitedLog
from valence_service.transports.fingerprint import Fingerprint, fingerprint
from valence_service.transports.grpc.calls import METHODS, SERVICE_NAME, CallScope, Telemetry
from valence_service.transports.grpc.status import abort

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Context = grpc.aio.ServicerContext[Any, Any]

LEAST_TOKEN_CHARACTERS = 16
# The file is looked at again after this long.
REREAD_SECONDS = 1.0
# What the telemetry calls a method that is not of the contract.
OTHER_METHOD = "other"
log = structlog.get_logger()


class BadTokens(Exception):
    """The file has no tokens that can be used; the message says why."""


class Tokens:
    """The tokens of a file, one in each line; several, so that they can be changed one by one.

    Blank lines and those that begin with # do not count. Raises BadTokens.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fingerprint: Fingerprint = ()
        self._digests: list[bytes] = []
        self._look_at = 0.0
        self._reread()

    def accepts(self, token: str) -> bool:
        """Whether it is one of them. Takes as long for each, right or wrong."""
        if time.monotonic() >= self._look_at:
            try:
                self._reread()
            except BadTokens as error:
                log.warning("tokens", read=False, reason=str(error), hint="the old ones count")
        given = _digest(token)
        # All of them, and no first one that fits: which it was would show in the time it takes.
        return sum([hmac.compare_digest(given, digest) for digest in self._digests]) > 0

    def _reread(self) -> None:
        self._look_at = time.monotonic() + REREAD_SECONDS
        try:
            current = fingerprint(self._path)
            if current == self._fingerprint:
                return
            self._fingerprint = current
            lines = enumerate(self._path.read_text("ascii").splitlines(), start=1)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not ASCII"
            raise BadTokens(f"{self._path}: {reason}") from error
        digests = []
        for number, line in lines:
            token = line.strip()
            if not token or token.startswith("#"):
                continue
            if len(token) < LEAST_TOKEN_CHARACTERS:
                raise BadTokens(
                    f"{self._path}: the token in line {number} has {len(token)} characters, and "
                    f"{LEAST_TOKEN_CHARACTERS} are the least: openssl rand -hex 32 makes a good one"
                )
            digests.append(_digest(token))
        if not digests:
            raise BadTokens(f"{self._path}: there is no token in it")
        if self._digests:
            log.info("tokens", read=True, tokens=len(digests))
        self._digests = digests


def _digest(token: str) -> bytes:
    # Of one length, whatever the token's: comparing shows nothing of that either.
    return hashlib.sha256(token.encode()).digest()


class Authenticate(grpc.aio.ServerInterceptor):
    """Lets a call pass with a token of the file, or where its method is open to all.

    ``public`` are the beginnings of such methods' names. Who is refused is told only that a token
    is needed; the log has the reason.
    """

    def __init__(
        self, tokens: Tokens, *, public: tuple[str, ...], telemetry: Telemetry | None = None
    ) -> None:
        self._tokens = tokens
        self._public = public
        # Strangers are counted, and write nothing into the traces.
        self._telemetry = Telemetry(meter=telemetry.meter if telemetry else None)
        self._throttle = RateLimitedLog()
        self._refusals = {f"/{SERVICE_NAME}/{name}": self._refusal(name) for name in METHODS}
        self._other_refusal = self._refusal(OTHER_METHOD)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, or one that refuses."""
        if handler_call_details.method.startswith(self._public):
            return await continuation(handler_call_details)
        given = [
            value
            for name, value in handler_call_details.invocation_metadata or ()
            if name == "authorization"
        ]
        scheme, _, token = str(given[0] if given else "").partition(" ")
        if scheme.lower() == "bearer" and self._tokens.accepts(token.strip()):
            return await continuation(handler_call_details)
        return self._refusals.get(handler_call_details.method, self._other_refusal)

    def _refusal(self, method: str) -> Any:
        """A stream's handler, for any call: it need not wait for a message that may never come."""

        async def refused(requests: AsyncIterator[bytes], context: Context) -> None:
            with CallScope(self._telemetry, method, context):
                await self._refuse(context)

        return grpc.stream_stream_rpc_method_handler(refused)

    async def _refuse(self, context: Context) -> None:
        metadata = dict(context.invocation_metadata() or ())
        given = str(metadata.get("authorization", ""))
        reason = "no token"
        if given:
            known = given.lower().startswith("bearer ")
            reason = "unknown token" if known else "no bearer token"
        self._throttle.warning("unauthenticated", reason, peer=context.peer())
        needed = "a valid token is needed, in the metadata as authorization: Bearer TOKEN"
        await abort(context, Unauthenticated(needed))
