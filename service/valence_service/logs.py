"""Log lines on stderr: for people where it is a terminal, JSON where it is not."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(*, verbose: bool) -> None:
    """Send structlog's events and the libraries' records the same way.

    Once, before grpc starts its threads: reconfiguring later can deadlock with them
    (grpc/grpc#43421).
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
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
