"""The ``valence`` command as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path

MODULE = (sys.executable, "-m", "valence_client")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's, without what the command or a terminal would read."""
    unwanted = ("VALENCE_", "GRPC_VERBOSITY", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    # Wide, so that no message is broken over lines in its box.
    return kept | {"COLUMNS": "200"} | dict(extra or {})


async def start(
    *arguments: str | Path,
    stdin: int = PIPE,
    stderr: int = PIPE,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Process:
    return await asyncio.create_subprocess_exec(
        *MODULE,
        *map(str, arguments),
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        env=environment(environ),
        cwd=folder,
    )


async def run(
    *arguments: str | Path, stdin: bytes = b"", folder: Path | None = None, **environ: str
) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    process = await start(*arguments, environ=environ, folder=folder)
    out, err = await process.communicate(stdin)
    return await process.wait(), out.decode(), err.decode()
