"""One of several server processes: the supervisor starts it as ``valence_service.supervised``.

It takes connections only once it serves. Processes that listen on one port share its connections
evenly, so those that a process got while it loads its model would wait for it.
"""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
from contextlib import suppress

from valence_service.link import Link
from valence_service.startup import ensure_home, open_standard_streams


def main() -> None:
    """Serve with the settings that the supervisor sends."""
    open_standard_streams()
    ensure_home()
    faulthandler.enable()
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    if link.orders["cpus"]:
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setaffinity(0, link.orders["cpus"])
    link.end_with_supervisor()
    from valence_service.serve import serve
    from valence_service.settings import Settings

    serve(Settings(**link.orders["settings"]), link)


if __name__ == "__main__":
    main()
