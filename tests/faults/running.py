"""Servers whose log is read while they run: a full pipe would hold them up."""

from __future__ import annotations

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

# Without -P the script's folder would be searched for modules first.
MISBEHAVING = ("-P", str(Path(__file__).with_name("misbehaving.py")))


@dataclass
class Running:
    """A server that serves, and the last lines of its log."""

    server: Server
    log: deque[str] = field(default_factory=lambda: deque(maxlen=200))

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.server.process.pid)

    @property
    def rss_bytes(self) -> int:
        """The memory it holds."""
        return int(self.process.memory_info().rss)


@contextmanager
def running(
    *arguments: str, python: Sequence[str] = MODULE, env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A server that serves, from its SERVING line on."""
    with launched(*arguments, python=python, env=env) as server:
        # What strangers send may come back in the log.
        cast("TextIOWrapper", server.process.stderr).reconfigure(errors="replace")
        server.address = server.event("SERVING")["address"]
        run = Running(server)
        reading = threading.Thread(target=lambda: run.log.extend(server.lines()))
        reading.start()
        try:
            yield run
        finally:
            server.process.kill()  # no harm to one that has ended
            reading.join()
