"""Servers whose log is read while they run: a full pipe would hold them up."""

from __future__ import annotations

import json
import queue
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import cast

import psutil

from tests.support.server import MODULE, Server, launched


def _script(name: str) -> tuple[str, str]:
    # Without -P the script's folder would be searched for modules first.
    return "-P", str(Path(__file__).with_name(name))


MISBEHAVING, KEEPING = _script("misbehaving.py"), _script("keeping.py")
KEPT = '{"event": "kept"'
GUARD_SECONDS = 60


@dataclass(frozen=True)
class Kept:
    """What a server has in use."""

    blocks: int
    """Of Python's allocator: each object has one, or a few."""
    malloc_bytes: int
    """What grpc's core has, and large objects."""

    def __sub__(self, other: Kept) -> Kept:
        return Kept(self.blocks - other.blocks, self.malloc_bytes - other.malloc_bytes)


@dataclass
class Running:
    """A server that serves, and the last lines of its log."""

    server: Server
    log: deque[str] = field(default_factory=lambda: deque(maxlen=200))
    told: queue.Queue[Kept] = field(default_factory=queue.Queue)

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def http(self) -> str:
        """Where HTTP is; empty where it is off."""
        return self.server.http

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.server.process.pid)

    @property
    def rss_bytes(self) -> int:
        """The memory it holds: for people, since it says little of what is in use."""
        return int(self.process.memory_info().rss)

    def kept(self) -> Kept:
        """What it has in use now. Of a server that was started as KEEPING."""
        self.server.process.send_signal(signal.SIGUSR1)
        return self.told.get(timeout=GUARD_SECONDS)

    def read_log(self) -> None:
        """Read the log until it ends."""
        for line in self.server.lines():
            if line.startswith(KEPT):
                told = json.loads(line)
                self.told.put(Kept(told["blocks"], told["malloc_bytes"]))
            else:
                self.log.append(line)


@contextmanager
def running(
    *arguments: str, python: Sequence[str] = MODULE, env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A server that serves, from its SERVING line on."""
    with launched(*arguments, python=python, env=env) as server:
        # What strangers send may come back in the log.
        cast("TextIOWrapper", server.process.stderr).reconfigure(errors="replace")
        facts = server.event("SERVING")
        server.address, server.http = facts["address"], facts.get("http", "")
        run = Running(server)
        reading = threading.Thread(target=run.read_log)
        reading.start()
        try:
            yield run
        finally:
            server.process.kill()  # no harm to one that has ended
            reading.join()
