"""As process 1 of a container: the kernel drops signals that have no handler."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.server import START_SECONDS, Server, command, environment

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child"]
# SIGTERM, as soon as the program begins to import its libraries.
SIGNAL_WHILE_IMPORTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "pydantic":
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Finder())
from valence_service.__main__ import main
main()
"""


@pytest.fixture(autouse=True)
def _allowed() -> None:
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a process namespace")


def process_one(unshare: int) -> int:
    """The pid, as this process sees it, of the first process in the namespace."""
    (pid,) = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
    return int(pid)


def test_a_signal_while_the_program_starts() -> None:
    arguments = command("--port", "0", python=("-c", SIGNAL_WHILE_IMPORTING))
    ended = subprocess.run(
        [*UNSHARE, *arguments], timeout=START_SECONDS, check=False, env=environment()
    )
    assert ended.returncode == 128 + signal.SIGTERM


def test_a_first_and_a_second_signal(two_labels: str) -> None:
    arguments = command("--port", "0", "--model", two_labels, "--grace-seconds", "600")
    with subprocess.Popen(
        [*UNSHARE, *arguments], stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            server = Server(process)
            server.event("SERVING")
            pid = process_one(process.pid)
            os.kill(pid, signal.SIGTERM)
            server.event("draining")
            os.kill(pid, signal.SIGTERM)
            assert process.wait(30) == 128 + signal.SIGTERM
        finally:
            process.kill()
