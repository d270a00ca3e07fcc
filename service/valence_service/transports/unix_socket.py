"""A Unix socket to listen on: ``--host unix:PATH``."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from valence_service.transports.transport import CannotListen

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "unix:"
# The kernel has room for no more, and a zero byte.
MAX_PATH_BYTES = 107
_OWNER_ONLY = 0o177


def socket_path(host: str) -> Path | None:
    """Return the path that a host names, or None if the host is none. Raise ValueError."""
    if not host.startswith(PREFIX):
        return None
    path = host.removeprefix(PREFIX)
    if path.startswith("//"):
        path = path.removeprefix("//")
        if not path.startswith("/"):
            raise ValueError("write unix:PATH, or unix:///PATH with the whole path")
    if "%" in path:
        raise ValueError("give a path without %, which gRPC would decode")
    if not path or path.endswith("/"):
        raise ValueError("give the path of a file after unix:")
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise ValueError(f"give a path of at most {MAX_PATH_BYTES} bytes")
    return Path(path)


@contextmanager
def owners_socket(path: Path) -> Iterator[None]:
    """Let the block make the socket, for its owner only. Raise CannotListen if the path is taken.

    A socket where nobody listens any more is replaced.
    """
    _remove_stale(path)
    # Set before the socket is made: between that and a chmod, others could connect.
    before = os.umask(_OWNER_ONLY)
    try:
        yield
    finally:
        os.umask(before)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISSOCK(mode):
            raise CannotListen(
                f"cannot listen on {PREFIX}{path}: the file is no socket; choose another with "
                "--host, or remove it"
            )
        with socket.socket(socket.AF_UNIX) as probe:
            # A server whose backlog is full is alive too: it must not make this one wait.
            probe.setblocking(False)
            probe.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
        return
    except BlockingIOError:
        pass
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {PREFIX}{path}: {(error.strerror or str(error)).lower()}; "
            "choose another with --host"
        ) from error
    raise CannotListen(
        f"cannot listen on {PREFIX}{path}: another server does; choose another with --host"
    )
