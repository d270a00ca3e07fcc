"""``valence-serve``: settings, the service, an exit code."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
from typing import NoReturn

from valence_service.signals import handle_as_init

FAILED, USAGE = 1, 2


def main() -> NoReturn:
    """Serve until told to stop. Exits with 0, 1 (cannot serve any more) or 2 (a wrong setting)."""
    handle_as_init()
    from valence_service.settings import SettingsError, read_settings

    faulthandler.enable()  # a crash, or SIGABRT where it hangs, prints what each thread does
    try:
        settings = read_settings(sys.argv[1:])
    except SettingsError as error:
        _leave(USAGE, f"{error} (--help lists the settings)")

    from valence_service import logs

    if settings.tls_certificate and not settings.prepare:
        os.environ["GRPC_VERBOSITY"] = "INFO"  # where it says why a handshake failed
        logs.capture_core()
        faulthandler.enable(sys.stderr)
    else:
        # What grpc's core prints by itself is no log line, and we say the same more clearly.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logs.configure(verbose=settings.verbose)

    import structlog
    import uvloop

    from valence_service.backends.load import ModelUnusable
    from valence_service.scheduler.monitor import ModelLost
    from valence_service.transports.errors import CannotListen
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
            # A quarter more unary calls a second than asyncio's own loop.
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())
    except (CannotListen, ModelUnusable, ModelLost) as error:
        _leave(FAILED, str(error))
    except KeyboardInterrupt:
        _leave(130)
    _leave(0)


def _leave(code: int, message: str = "") -> NoReturn:
    if message:
        print(f"valence-serve: {message}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: it would wait for a thread that is stuck in a model or a download.
    os._exit(code)


if __name__ == "__main__":
    main()
