"""valence-serve as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

START_SECONDS = 120


MODULE = ("-m", "valence_service")


def command(
    *arguments: str, python: Sequence[str] = MODULE, within: Sequence[str] = ()
) -> list[str]:
    """The server's command line; ``within`` is a command that runs another one in its place."""
    return [*within, sys.executable, *python, *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's, without what the settings would read or the client has set."""
    unwanted = ("VALENCE_", "GRPC_VERBOSITY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | dict(extra or {})


@dataclass
class Server:
    """A running server: where it listens and what it says."""

    process: subprocess.Popen[str]
    address: str = ""
    http: str = ""

    def event(self, name: str) -> dict[str, Any]:
        """The next log event of that name; skips others, and fails where the log ends first."""
        seen = []
        # A server that hangs is made to print where: it enables faulthandler.
        hung = threading.Timer(START_SECONDS, self.process.send_signal, [signal.SIGABRT])
        hung.start()
        try:
            for line in self.lines():
                seen.append(line)
                if line.startswith("{") and (event := json.loads(line))["event"] == name:
                    return dict(event)
        finally:
            hung.cancel()
        raise AssertionError(f"no event {name!r} in:\n{''.join(seen)}")

    def lines(self) -> Iterator[str]:
        """What it logs from now on."""
        assert self.process.stderr is not None
        return iter(self.process.stderr.readline, "")

    def end(self, signum: int = signal.SIGTERM, *, timeout_seconds: float = 30) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(signum)
        return self.process.wait(timeout_seconds)


@contextmanager
def launched(
    *arguments: str,
    port: str = "0",
    env: Mapping[str, str] | None = None,
    python: Sequence[str] = MODULE,
    within: Sequence[str] = (),
) -> Iterator[Server]:
    """A server that has been started, and perhaps not yet serves."""
    process = subprocess.Popen(
        command("--port", port, *arguments, python=python, within=within),
        stderr=subprocess.PIPE,
        text=True,
        env=environment(env),
    )
    try:
        yield Server(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@contextmanager
def serving(
    *arguments: str, port: str = "0", env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server that serves."""
    with launched(*arguments, port=port, env=env) as server:
        facts = server.event("SERVING")
        server.address, server.http = facts["address"], facts.get("http", "")
        yield server


def run(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    python: Sequence[str] = MODULE,
    within: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """A server that is expected to end by itself."""
    return subprocess.run(
        command(*arguments, python=python, within=within),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
        env=environment(env),
    )
