"""Threads that compute step back for the event loop."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

# Less of a core than the loop's, where both want it: a tenth of its weight.
NICE = 10


def compute_thread(name: str) -> ThreadPoolExecutor:
    """One thread of lower priority, as those will be that it starts itself.

    On a machine whose cores are all computing, each step of a call would wait for a slice of time:
    calls would be accepted so late that their deadlines had passed.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_step_back)


def _step_back() -> None:
    # A thread has a priority of its own on Linux alone.
    if sys.platform == "linux":
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, nice + NICE))
