"""Make up for what the process was started without: standard streams, a home."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def open_standard_streams() -> None:
    """Open stdin, stdout and stderr on the null device where they are closed.

    Otherwise the next file or socket would get the free number, and log lines would go into it.
    Call this before anything opens a file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest free number, and that is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Where Python found one closed, it has None.
    if None in (sys.stdout, sys.stderr):
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  it stays open
        sys.stdout = sys.stdout or nowhere
        sys.stderr = sys.stderr or nowhere


def ensure_home() -> None:
    """Set HOME to the root folder if the process has no home, as container engines do.

    Libraries look for the home as they are imported. Without one, some raise an error and some
    make a folder named ~ where they are.
    """
    try:
        Path.home()
    except RuntimeError:  # HOME is unset, and the user has no entry in passwd
        os.environ["HOME"] = "/"
