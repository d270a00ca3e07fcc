"""How far it is, on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from valence_client.cli.ending import last_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as RichBars
    from rich.progress import TaskID

UPDATE_SECONDS = 0.1
SHOW_CURSOR = "\x1b[?25h\n"
"""A bar hides it; and what follows should not stand in the bar's line."""


class Progress(Protocol):
    """Told of each row that is done."""

    def advance(self, position: int) -> None:
        """One more row, and how much of the input was read with it."""
        ...

    def say(self, line: str) -> None:
        """Print a line."""
        ...


class Silent:
    """No bar: for logs and pipes."""

    def advance(self, position: int) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Print a line."""
        print(f"valence: {line}", file=sys.stderr, flush=True)


@contextmanager
def progress(total: int | None, *, begin: int, shown: bool) -> Iterator[Progress]:
    """A bar where it is shown. ``begin`` is how much had been done before."""
    if not shown:
        yield Silent()
        return
    # Late, as it takes a while and most uses have no bar.
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
        with last_words(SHOW_CURSOR):
            yield bar
        bar.update()


class _Bar:
    """rich's bar, told of what is new a few times a second."""

    def __init__(self, bars: RichBars, task: TaskID) -> None:
        self._bars = bars
        self._task = task
        self._rows = self._position = 0
        self._begun = self._told = time.monotonic()

    def advance(self, position: int) -> None:
        self._rows += 1
        self._position = position
        if time.monotonic() - self._told >= UPDATE_SECONDS:
            self.update()

    def update(self) -> None:
        self._told = time.monotonic()
        if self._rows:
            rate = self._rows / (self._told - self._begun)
            self._bars.update(self._task, completed=self._position, rows=self._rows, rate=rate)

    def say(self, line: str) -> None:
        self._bars.console.print(f"valence: {line}", markup=False, soft_wrap=True)
