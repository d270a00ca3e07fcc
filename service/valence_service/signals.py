"""The signals that end the service: the first one drains, a second one ends the process at once.

The kernel drops a signal to process 1, such as a container's, unless the signal has a handler.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def handle_as_init() -> None:
    """Give process 1 the handlers that other processes have by default."""
    if os.getpid() == 1:
        _end_at_once()


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Yield an event that the first signal sets. The second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def first() -> None:
        stop.set()
        _remove(loop)

    for number in _NUMBERS:
        loop.add_signal_handler(number, first)
    try:
        yield stop
    finally:
        _remove(loop)


def _remove(loop: asyncio.AbstractEventLoop) -> None:
    for number in _NUMBERS:
        loop.remove_signal_handler(number)
    _end_at_once()


def _end_at_once() -> None:
    for number in _NUMBERS:
        signal.signal(number, _exit if os.getpid() == 1 else signal.SIG_DFL)


def _exit(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)  # as a shell tells of a process that a signal has ended
