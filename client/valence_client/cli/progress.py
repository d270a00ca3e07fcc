"""The progress bar on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from valence_client.cli.ending import printed_on_stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as RichBars
    from rich.progress import TaskID

UPDATE_SECONDS = 0.1
SHOW_CURSOR = "\x1b[?25h\n"
"""A bar hides the cursor. The line end keeps later output out of the bar's line."""


class Progress(Protocol):
    """Shows the rows that are done."""

    def advance(self, position: int) -> None:
        """Count a row. ``position``: how much of the input has been read."""
        ...

    def say(self, line: str) -> None:
        """Print a line."""
        ...


class Silent:
    """Shows no bar: for logs and pipes."""

    def advance(self, position: int) -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Print a line."""
        print(f"valence: {line}", file=sys.stderr, flush=True)


@contextmanager
def progress(total: int | None, *, begin: int, shown: bool) -> Iterator[Progress]:
    """Show a bar if ``shown``. ``begin``: how much of the input was done before."""
    if not shown:
        yield Silent()
        return
    # Imported late: it is slow, and most runs have no bar.
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichBars

    rate = TextColumn("{task.fields[rows]:,} rows  {task.fields[rate]:,.0f}/s")
    left = (TextColumn("left"), TimeRemainingColumn()) if total is not None else ()
    share = (TaskProgressColumn(),) if total is not None else ()
    console = Console(stderr=True, highlight=False)
    with RichBars(BarColumn(), *share, rate, *left, console=console) as bars:
        task = bars.add_task("", total=total, completed=begin, rows=0, rate=0.0)
        bar = _Bar(bars, task)
        with printed_on_stop(SHOW_CURSOR):
            yield bar
        bar.update()


class _Bar:
    """A bar of rich's, updated a few times a second."""

    def __init__(self, bars: RichBars, task: TaskID) -> None:
        self._bars = bars
        self._task = task
        self._rows = self._position = 0
        self._begun = self._updated = time.monotonic()

    def advance(self, position: int) -> None:
        self._rows += 1
        self._position = position
        if time.monotonic() - self._updated >= UPDATE_SECONDS:
            self.update()

    def update(self) -> None:
        self._updated = time.monotonic()
        if self._rows:
            rate = self._rows / (self._updated - self._begun)
            self._bars.update(self._task, completed=self._position, rows=self._rows, rate=rate)

    def say(self, line: str) -> None:
        self._bars.console.print(f"valence: {line}", markup=False, soft_wrap=True)
