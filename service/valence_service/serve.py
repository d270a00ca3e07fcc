"""Serve with settings that have been read, and end the process with an exit code."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from valence_service.link import Link
    from valence_service.process import Cores
    from valence_service.settings import Settings

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def serve(settings: Settings, link: Link | None = None) -> NoReturn:
    """Serve, or prepare the model, or supervise processes that serve; then end this process.

    ``link`` leads to the supervisor, in a process that it has started.
    """
    from valence_service import logs
    from valence_service.process import process_count, usable_cores
    from valence_service.setting_errors import SettingsError, wrong_value

    cores = usable_cores(settings.cores)
    count = 1 if link or settings.prepare else process_count(settings.processes, cores)
    supervising = count > 1
    if settings.tls_certificate and not settings.prepare and not supervising:
        os.environ["GRPC_VERBOSITY"] = "INFO"  # from here on it prints why a handshake failed
        logs.capture_core()
        faulthandler.enable(sys.stderr)
    else:
        # What grpc's core prints is no log line, and the service logs the same more clearly.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logs.configure(verbose=settings.verbose, process=link.process if link else None)
    if supervising:
        _supervise(settings, cores, count)

    import structlog

    from valence_service.backends.source import ModelUnavailable, ModelUnusable
    from valence_service.process import new_event_loop
    from valence_service.scheduler.monitor import ModelLost
    from valence_service.transports.transport import CannotListen
    from valence_service.wiring import prepare, wire

    if settings.max_queue_texts < settings.max_batch_texts:
        structlog.get_logger().warning(
            "small_queue",
            hint=f"a BatchClassify of more than --max-queue-texts {settings.max_queue_texts} "
            f"never finds room, though --max-batch-texts {settings.max_batch_texts} allows it",
        )

    async def run() -> None:
        await wire(settings, link).run()

    try:
        if settings.prepare:
            prepare(settings)
        else:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(run())
    except SettingsError as error:
        leave(USAGE, str(error))
    except (CannotListen, ModelUnavailable, ModelLost) as error:
        leave(FAILED, str(error))
    except ModelUnusable as error:
        given = getattr(settings, error.setting)
        # The embedded model is no setting's.
        named = f"{wrong_value(error.setting, given)}: " if given else ""
        leave(USAGE, f"{named}{error}")
    except KeyboardInterrupt:
        leave(INTERRUPTED)
    except Exception:
        structlog.get_logger().critical("crashed", exc_info=True)
        leave(FAILED)
    leave(0)


def _supervise(settings: Settings, cores: Cores, count: int) -> NoReturn:
    """End with the exit code of the processes."""
    from valence_service.supervisor import Supervisor
    from valence_service.transports.transport import CannotListen

    try:
        code = asyncio.run(Supervisor(settings, cores, count).run())
    except CannotListen as error:
        leave(FAILED, str(error))
    except KeyboardInterrupt:
        leave(INTERRUPTED)
    leave(code)


def leave(code: int, message: str = "") -> NoReturn:
    """End the process at once."""
    # Where stderr is full or its reader has gone, the exit code must do.
    with suppress(OSError):
        if message:
            print(f"valence-serve: {message}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    # Not sys.exit: it would wait for a thread that is stuck in a model or a download.
    os._exit(code)
