"""``valence-serve``: from arguments to settings, then the service, then an exit code."""

from __future__ import annotations

import faulthandler
import sys
from typing import NoReturn

from valence_service.signals import handle_as_init
from valence_service.startup import ensure_home, open_standard_streams


def main() -> NoReturn:
    """Serve until a signal ends it. Exit with 0, 1 (cannot serve any more) or 2 (wrong settings).

    Neither depends on whether anything can be written to stdout or stderr.
    """
    handle_as_init()
    open_standard_streams()
    ensure_home()
    faulthandler.enable()  # a crash, or SIGABRT where it hangs, prints each thread's stack
    from valence_service.arguments import read_settings
    from valence_service.serve import USAGE, leave, serve
    from valence_service.setting_errors import SettingsError

    try:
        settings = read_settings(sys.argv[1:])
    except SettingsError as error:
        leave(USAGE, f"{error} (--help lists the settings)")
    serve(settings)


if __name__ == "__main__":
    main()
