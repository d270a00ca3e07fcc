"""Log lines on stderr: for people where it is a terminal, JSON where it is not."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from contextlib import suppress

import structlog

from valence_service.core.call import add_ids
from valence_service.core.log_limit import RateLimitedLog

# Lines of grpc's core: one that says why a TLS handshake failed, and those that say little.
_HANDSHAKE = re.compile(rb"^[A-Z]\d{4} .*Handshake failed with error (.*?)\s*$")
_CORE_NOTE = re.compile(rb"^[IW]\d{4} ")
# Longer lines of the core are read in parts, and longer reasons are cut.
MAX_LINE_BYTES = 65536
MAX_REASON_BYTES = 512


def configure(*, verbose: bool, process: int | None = None) -> None:
    """Send structlog's events and the libraries' log records to stderr in one form.

    Each line names the process, where there are several.

    Call it once, before grpc starts its threads: with them, a later configuration can deadlock
    (grpc/grpc#43421).
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        add_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if process is not None:
        shared.append(lambda _, __, event: {**event, "process": process})
    render: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.getLogger("grpc._cython.cygrpc").addFilter(_not_a_vanished_caller)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # the libraries', not ours
    logging.getLogger("valence_service").setLevel(logging.DEBUG if verbose else logging.INFO)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=lambda *_: logging.getLogger("valence_service"),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _not_a_vanished_caller(record: logging.LogRecord) -> bool:
    """Leave out the error and traceback that grpc logs where a client goes away during a write."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core")


def capture_core() -> None:
    """Log each TLS handshake that fails, with the reason that grpc's core prints.

    The core prints it on file descriptor 2 and tells it nowhere else. So descriptor 2 becomes a
    pipe that a thread reads, and Python's stderr goes past it. Call this before configure.
    """
    reader, writer = os.pipe()
    past = os.dup(sys.stderr.fileno())
    sys.stderr = os.fdopen(past, "w", buffering=1, errors="backslashreplace")
    threading.Thread(target=_sift, args=(reader,), name="core-log", daemon=True).start()
    os.dup2(writer, 2)
    os.close(writer)


def _sift(reader: int) -> None:
    """Read all that the core prints: a full pipe would stop the core's own threads."""
    limited_log = RateLimitedLog()
    with os.fdopen(reader, "rb") as lines:
        while line := lines.readline(MAX_LINE_BYTES):
            # A full disk or a closed pipe costs this line, not those to come.
            with suppress(Exception):
                _pass_on(line, limited_log)


def _pass_on(line: bytes, limited_log: RateLimitedLog) -> None:
    if failed := _HANDSHAKE.match(line):
        reason = failed[1][:MAX_REASON_BYTES].decode(errors="replace")
        limited_log.warning("handshake_failed", reason)
    elif not _CORE_NOTE.match(line):
        sys.stderr.write(line.decode(errors="replace"))
