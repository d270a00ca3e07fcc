"""Make the client for threads from the one for asyncio: valence_client/sync.py from aio.py.

Streams are written twice: a task that waits is cancelled, and a thread that waits must be woken.

With --check, write nothing, and exit with 1 if sync.py is out of date.
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "valence_client"
SOURCE, TARGET = PACKAGE / "aio.py", PACKAGE / "sync.py"
HEADER = "# Made from aio.py by client/unasync.py: change that file, then `make sync`.\n"

# Pairs of text in aio.py and its replacement in sync.py, applied in this order. Each must match, so
# that no pair outlives its text.
PROSE = [
    ("The client for asyncio.", "The client for threads."),
    ("and tasks may share it", "and threads may share it"),
    ("``async with``", "``with``"),
    ("\n\n    It may be made anywhere, and belongs to the event loop of its first call.", ""),
    ("in another task.", "in another thread."),
    ("\n        A plain iterable is read on the event loop, which it must not block.", ""),
    ("``aclose()``", "``close()``"),
]
IMPORTS = [
    ("AsyncGenerator, AsyncIterable, Callable, Iterable", "Callable, Generator, Iterable"),
    ("_stream_aio", "_stream_sync"),
]
CODE = [
    ("Iterable[str] | AsyncIterable[str]", "Iterable[str]"),
    ("AsyncGenerator[Outcome, None]", "Generator[Outcome, None, None]"),
    ("AsyncGenerator[StreamItem, None]", "Generator[StreamItem, None, None]"),
    ("AsyncGenerator[Outcome | StreamItem, None]", "Generator[Outcome | StreamItem, None, None]"),
    ("AsyncClient", "Client"),
    ("AsyncChannel", "Channel"),
    ("SentimentServiceAsyncStub", "SentimentServiceStub"),
    ("grpc.aio", "grpc"),
    ("__aenter__", "__enter__"),
    ("__aexit__", "__exit__"),
    ("async def", "def"),
    ("await ", ""),
]


def unasync(source: str) -> str:
    """Return the client for threads. Raise ValueError if a pair matches nothing."""
    for found, instead in [*PROSE, *IMPORTS, *CODE]:
        source, count = re.subn(rf"(?<!\w){re.escape(found)}", instead, source)
        if not count:
            raise ValueError(f"{SOURCE.name} has no {found!r} any more")
    return _formatted(HEADER + source)


def _formatted(code: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", f"--stdin-filename={TARGET}", "-"]
    done = subprocess.run(  # noqa: S603 - the command is ours
        command, input=code, capture_output=True, text=True, check=True
    )
    return done.stdout


def main() -> None:
    """Write sync.py, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    made, there = unasync(SOURCE.read_text()), TARGET.read_text()
    if not check:
        TARGET.write_text(made)
    elif made != there:
        diff = difflib.unified_diff(
            there.splitlines(keepends=True), made.splitlines(keepends=True), TARGET.name, "made"
        )
        sys.stderr.writelines(diff)
        sys.exit(f"{TARGET} is out of date: run 'make sync'")


if __name__ == "__main__":
    main()
