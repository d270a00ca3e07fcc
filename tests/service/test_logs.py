"""What reads the core's log never stops, and what clients trigger is bounded."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from valence_service import logs
from valence_service.core.log_limit import MAX_REASONS, RateLimitedLog

HANDSHAKE = b"I0000 00:00:1 chttp2_server.cc:1] Handshake failed with error %s\n"
HOSTILE = [
    b"\n",
    b"\xff\xfe\x00 invalid\n",
    b"E0000 \xed\xa0\x80 half a character\n",
    HANDSHAKE % (b"\xff" * 100_000),
    HANDSHAKE % b"{event} %s %(name)s",
    b"no end in sight " * 20_000,
]


class Stderr(io.StringIO):
    """Fails each write in a way, until it is mended."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error
        self.failed = threading.Event()

    def write(self, text: str) -> int:
        if self.error:
            self.failed.set()
            raise self.error
        return super().write(text)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        ValueError("I/O operation on closed file"),
        UnicodeEncodeError("ascii", "\xff", 0, 1, "ordinal not in range"),
    ],
)
def test_the_core_is_read_whatever_a_line_holds_and_whatever_write_fails(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = Stderr(error)
    monkeypatch.setattr(sys, "stderr", stderr)
    reader, writer = os.pipe()
    sifting = threading.Thread(target=logs._sift, args=(reader,))
    sifting.start()
    with os.fdopen(writer, "wb") as core:
        core.write(b"".join(HOSTILE))
        core.flush()
        assert stderr.failed.wait(20)
        stderr.error = None
        core.write(b"\nE0000 all is well again\n")
    sifting.join()

    assert "all is well again\n" in stderr.getvalue()


PRINTS_MUCH = """
import os
from valence_service import logs
logs.capture_core()
for _ in range(1000):
    os.write(2, b"E0000 " + b"x" * 1000 + bytes([10]))
os._exit(0)
"""


def test_what_the_core_prints_is_read_where_stderr_is_full() -> None:
    command = [sys.executable, "-c", PRINTS_MUCH]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, check=False, stderr=full, timeout=60)

    assert ended.returncode == 0


def test_a_reason_is_logged_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limited = RateLimitedLog()
    with capture_logs() as lines:
        for _ in range(5):
            limited.warning("event", "one")
        limited.warning("event", "another")
        now = 1.0
        limited.warning("event", "one")

    assert [(line["reason"], line.get("left_out")) for line in lines] == [
        ("one", None),
        ("another", None),
        ("one", 4),
    ]


def test_the_reasons_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)
    limited = RateLimitedLog()
    with capture_logs() as lines:
        for number in range(10 * MAX_REASONS):
            limited.warning("event", f"reason {number}")

    assert len(lines) == MAX_REASONS + 1
