"""The end of the command: its error in a line, and its exit code."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from valence_client.cli.reading.row import FileError
from valence_client.errors import DeadlineExceeded, Overloaded, ValenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAILED, BROKEN_PIPE = 1, 141

_FLAGS = {
    "start one, or check the address": "start one with `make run` or give --address",
    "address is": "--address is",
    "tls=True": "--tls",
    "root_certificates": "--root-certificates",
    "client_certificate": "--client-certificate",
    "client_key": "--client-key",
    "server_name": "--server-name",
}
_on_stop: list[bytes] = []


def say(line: str) -> None:
    """Print to stderr."""
    print(f"valence: {line}", file=sys.stderr, flush=True)


def in_flags(message: str) -> str:
    """Return a message of the client with the command's options for the client's keywords."""
    words = "|".join(map(re.escape, _FLAGS))
    return re.sub(rf"(?<![\w/.])({words})(?![\w/.])", lambda word: _FLAGS[word[0]], message)


@contextmanager
def reported_errors(*, address: str, timeout_seconds: float | None = None) -> Iterator[None]:
    """Print what the block raises, with its notes, and exit with its code."""
    try:
        yield
        return
    except ValenceError as error:
        ended: Exception = error
        say(_failure(error, address=address, timeout_seconds=timeout_seconds))
    except FileError as error:
        ended = error
        say(str(error))
    except BrokenPipeError:  # the reader of the output has gone, as `head` does
        raise SystemExit(BROKEN_PIPE) from None
    except OSError as error:
        ended = error
        say(": ".join(filter(None, (error.filename, error.strerror or str(error)))))
    for note in getattr(ended, "__notes__", ()):
        say(note)
    raise SystemExit(FAILED)


@contextmanager
def printed_on_stop(text: str) -> Iterator[None]:
    """Print the text to stderr if SIGINT or SIGTERM stops the block."""
    _on_stop.append(text.encode(errors="backslashreplace"))
    try:
        yield
    finally:
        _on_stop.pop()


def _stop(signum: int, _: object) -> NoReturn:
    """Exit at once, with the code that shells expect.

    An exception would unwind gRPC, and wait for ever if gRPC has just taken one of its locks.
    """
    for text in _on_stop:
        os.write(2, text)
    os._exit(128 + signum)


def run(app: Callable[[], object]) -> NoReturn:
    """Run the command, and end the process with its exit code."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _stop)
    if isinstance(sys.stdout, io.TextIOWrapper):  # it is None if it is closed
        # A name that the terminal cannot show must not fail the command.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    code = 0
    try:
        app()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else FAILED
    except OSError as error:  # of stdout, in what is not in reported_errors: --help
        say(str(error.strerror))
        code = FAILED
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        code = code or BROKEN_PIPE
    # Not sys.exit: a thread that still reads stdin would delay or crash it.
    os._exit(code)


def _failure(error: ValenceError, *, address: str, timeout_seconds: float | None) -> str:
    """Return why there is no answer, and which option may help."""
    if isinstance(error, DeadlineExceeded) and timeout_seconds is not None:
        return (
            f"no answer from {address} within {timeout_seconds:g} s: "
            "allow more with --timeout-seconds"
        )
    if isinstance(error, Overloaded) and error.retry_after_seconds is not None:
        return f"{error}; try again in {error.retry_after_seconds:.2g} s"
    return in_flags(str(error))
