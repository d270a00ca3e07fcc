"""valence-serve that says what it keeps, when it is asked by SIGUSR1. All of it is real.

Run as a script, with valence-serve's own flags. The memory that a process holds grows and shrinks
with what else a machine does, and allocators hold what has been freed: what is in use does not.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys


class _MallInfo2(ctypes.Structure):
    """What glibc tells of all that was allocated by malloc: man 3 mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _malloc_bytes() -> int:
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return 0  # no glibc, or one before 2.33: Python's blocks alone are counted
    mallinfo2.restype = _MallInfo2
    told = mallinfo2()
    return int(told.uordblks + told.hblkhd)


def tell(*_: object) -> None:
    """Write a line of what is in use, once garbage is gone."""
    gc.collect()
    kept = {"event": "kept", "blocks": sys.getallocatedblocks(), "malloc_bytes": _malloc_bytes()}
    # In one piece, not to mix with another thread's line.
    os.write(sys.stderr.fileno(), f"{json.dumps(kept)}\n".encode())


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    from valence_service.__main__ import main

    main()
