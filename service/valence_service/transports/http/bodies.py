"""Reads bodies within a size and a time."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from valence_service.core.errors import Draining
from valence_service.transports.http.errors import BadBody

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.types import Message, Receive

# The time from the headers of a call to the end of its body.
BODY_SECONDS = 60.0
# The same once the service is ending. A small body comes right after its headers.
LAST_BODY_SECONDS = 0.5


class ClientGone(Exception):
    """The client has closed the connection."""


def check_plain(headers: Mapping[str, str]) -> None:
    """Refuse a body that is packed: it may hold thousands of times its size."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise BadBody(
            f"the body is packed (content-encoding: {encoding[:80]}): send it plain",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )


class Bodies:
    """The bodies being read, so that nothing that a client leaves open holds up the end."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._timeouts: set[asyncio.Timeout] = set()
        self._ending = False

    def end(self) -> None:
        """Give each body under way LAST_BODY_SECONDS more, and those that follow no more."""
        self._ending = True
        due = asyncio.get_running_loop().time() + LAST_BODY_SECONDS
        for timeout in self._timeouts:
            if not timeout.expired():
                timeout.reschedule(due)

    async def read(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the whole body. Raise BadBody, ClientGone, or Draining once ending."""
        check_plain(headers)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.max_bytes:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(None) as timeout:
                with self._watched(timeout):
                    more = True
                    while more:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise ClientGone
                        body += message.get("body", b"")
                        if len(body) > self.max_bytes:
                            raise self._too_large()
                        more = message.get("more_body", False)
        except TimeoutError:
            if not timeout.expired():
                raise
            raise self._late() from None
        return bytes(body)

    def bounded(self, receive: Receive) -> Receive:
        """Wrap receive for an application that reads by itself: a late body is a disconnect."""
        ends: float | None = asyncio.get_running_loop().time() + BODY_SECONDS

        async def bounded() -> Message:
            nonlocal ends
            if ends is None:
                return await receive()
            try:
                async with asyncio.timeout(None) as timeout:
                    with self._watched(timeout, ends):
                        message = await receive()
            except TimeoutError:
                return {"type": "http.disconnect"}
            if not message.get("more_body", False):
                ends = None
            return message

        return bounded

    @contextmanager
    def _watched(self, timeout: asyncio.Timeout, ends: float | None = None) -> Iterator[None]:
        now = asyncio.get_running_loop().time()
        last = now + LAST_BODY_SECONDS if self._ending else now + BODY_SECONDS
        timeout.reschedule(last if ends is None else min(ends, last))
        self._timeouts.add(timeout)
        try:
            yield
        finally:
            self._timeouts.discard(timeout)

    def _too_large(self) -> BadBody:
        return BadBody(
            f"the body has more than {self.max_bytes} bytes: send fewer texts in a call",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )

    def _late(self) -> Exception:
        if self._ending:
            return Draining("the server is ending: call another one")
        return BadBody(f"no whole body has come in {BODY_SECONDS:g} s", HTTPStatus.REQUEST_TIMEOUT)
