"""A server process's end of its connection to the supervisor."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping


class Link:
    """The process's end of its connection to the supervisor."""

    def __init__(self, connection: socket.socket) -> None:
        """Wait for what the supervisor says first."""
        self._connection = connection
        self._lines = connection.makefile("rb")
        self.orders: dict[str, Any] = json.loads(self._lines.readline())
        self.process: int = self.orders["process"]
        """Its number among the processes."""

    def end_with_supervisor(self) -> None:
        """End this process as by SIGTERM when the supervisor has gone, whatever ended that."""
        threading.Thread(target=self._watch, name="supervisor", daemon=True).start()

    def serving(self, addresses: Mapping[str, str]) -> None:
        """Tell the supervisor where this process listens, now that it serves."""
        with suppress(OSError):
            self._connection.sendall(json.dumps(dict(addresses)).encode() + b"\n")

    def _watch(self) -> None:
        with suppress(OSError):
            self._lines.read()
        os.kill(os.getpid(), signal.SIGTERM)
