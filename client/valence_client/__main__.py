"""The ``valence`` command, if its extra is installed."""

from __future__ import annotations

import sys
from typing import NoReturn

from valence_client.cli.streams import prepare as prepare_streams


def main() -> NoReturn:
    """Run the command. ``valence classify --help`` lists the exit codes."""
    prepare_streams()
    try:
        import rich  # noqa: F401  fail now, not when the progress bar starts
        import typer  # noqa: F401
    except ModuleNotFoundError:
        sys.exit('valence: the command is an extra: pip install "valence-client[cli]"')
    from valence_client.cli.app import app
    from valence_client.cli.ending import run

    run(lambda: app(prog_name="valence"))


if __name__ == "__main__":
    main()
