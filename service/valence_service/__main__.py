"""``valence-serve``: from arguments to settings, then the service, then an exit code."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
from contextlib import suppress
from typing import NoReturn

from valence_service.signals import handle_as_init
from valence_service.startup import ensure_home, open_standard_streams

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main() -> NoReturn:
    """Serve until a signal ends it. Exit with 0, 1 (cannot serve any more) or 2 (wrong settings).

    Neither depends on whether anything can be written to stdout or stderr.
    """
    handle_as_init()
    open_standard_streams()
    ensure_home()
    faulthandler.enable()  # a crash, or SIGABRT where it hangs, prints each thread's stack
    from valence_service.arguments import read_settings
    from valence_service.setting_errors import SettingsError, wrong_value

    try:
        settings = read_settings(sys.argv[1:])
    except SettingsError as error:
        _leave(USAGE, f"{error} (--help lists the settings)")

    from valence_service import logs

    if settings.tls_certificate and not settings.prepare:
        os.environ["GRPC_VERBOSITY"] = "INFO"  # from here on it prints why a handshake failed
        logs.capture_core()
        faulthandler.enable(sys.stderr)
    else:
        # What grpc's core prints is no log line, and the service logs the same more clearly.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logs.configure(verbose=settings.verbose)

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

    async def serve() -> None:
        await wire(settings).run()

    try:
        if settings.prepare:
            prepare(settings)
        else:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(serve())
    except SettingsError as error:
        _leave(USAGE, str(error))
    except (CannotListen, ModelUnavailable, ModelLost) as error:
        _leave(FAILED, str(error))
    except ModelUnusable as error:
        given = getattr(settings, error.setting)
        # The embedded model is no setting's.
        named = f"{wrong_value(error.setting, given)}: " if given else ""
        _leave(USAGE, f"{named}{error}")
    except KeyboardInterrupt:
        _leave(INTERRUPTED)
    except Exception:
        structlog.get_logger().critical("crashed", exc_info=True)
        _leave(FAILED)
    _leave(0)


def _leave(code: int, message: str = "") -> NoReturn:
    # Where stderr is full or its reader has gone, the exit code must do.
    with suppress(OSError):
        if message:
            print(f"valence-serve: {message}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    # Not sys.exit: it would wait for a thread that is stuck in a model or a download.
    os._exit(code)


if __name__ == "__main__":
    main()
