"""Who may call: bearer tokens from a file."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING

import structlog

from valence_service.core.errors import Unauthenticated
from valence_service.core.log_limit import RateLimitedLog
from valence_service.transports.fingerprint import Fingerprint, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEAST_TOKEN_CHARACTERS = 16
# The file is looked at again after this long.
REREAD_SECONDS = 1.0
log = structlog.get_logger()


class BadTokens(Exception):
    """The file has no tokens that can be used; the message says why."""


class Tokens:
    """The tokens of a file, one in each line; several, so that they can be changed one by one.

    Blank lines and those that begin with # do not count. Raise BadTokens.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fingerprint: Fingerprint = ()
        self._digests: list[bytes] = []
        self._look_at = 0.0
        self._reread()

    def accepts(self, token: str) -> bool:
        """Return whether it is one of them. Takes as long for each, right or wrong."""
        if time.monotonic() >= self._look_at:
            try:
                self._reread()
            except BadTokens as error:
                log.warning("tokens", read=False, reason=str(error), hint="the old ones count")
        given = _digest(token)
        # All of them, not the first that fits: the time taken would show which it was.
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


class Authenticator:
    """Checks the token of a call, whatever transport carries it.

    The client learns only that a token is needed; the log has the reason.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._log = RateLimitedLog()

    def accepts(self, authorization: str) -> bool:
        """Return whether the value of an authorization header carries a token of the file."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and self._tokens.accepts(token.strip())

    def refusal(self, authorization: str, peer: Callable[[], str]) -> Unauthenticated:
        """Log why a call is refused, and return the error for its client."""
        reason = "no token"
        if authorization:
            bearer = authorization.lower().startswith("bearer ")
            reason = "unknown token" if bearer else "no bearer token"
        self._log.warning("unauthenticated", reason, peer=peer())
        return Unauthenticated(
            "a valid token is needed, in the metadata as authorization: Bearer TOKEN"
        )
