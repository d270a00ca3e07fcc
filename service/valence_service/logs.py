"""Log lines on stderr: for people where it is a terminal, JSON where it is not."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading

import structlog

from valence_service.core.call import add_ids
from valence_service.core.log_limit import RateLimitedLog

# As grpc's core prints what its TLS handshakes end with.
_HANDSHAKE = re.compile(rb"^[A-Z]\d{4} .*Handshake failed with error (.*?)\s*$")
_CORE_NOTE = re.compile(rb"^[IW]\d{4} ")


def configure(*, verbose: bool) -> None:
    """Send structlog's events and the libraries' records the same way.

    Once, before grpc starts its threads: reconfiguring later can deadlock with them
    (grpc/grpc#43421).
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        add_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
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
    """Grpc logs an error and a traceback where a caller goes away while it is written to."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core")


def capture_core() -> None:
    """Make a line of the log of each TLS handshake that grpc's core says has failed.

    The core prints the reason on the standard error and tells it nowhere else. Call it before
    configure: from then on, what Python prints goes past the pipe that catches the core's.
    """
    reader, writer = os.pipe()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    os.dup2(writer, 2)
    os.close(writer)
    threading.Thread(target=_sift, args=(reader,), name="core-log", daemon=True).start()


def _sift(reader: int) -> None:
    throttle = RateLimitedLog()
    with os.fdopen(reader, "rb") as lines:
        for line in lines:
            if failed := _HANDSHAKE.match(line):
                throttle.warning("handshake_failed", failed[1].decode(errors="replace"))
            elif not _CORE_NOTE.match(line):
                sys.stderr.write(line.decode(errors="replace"))
