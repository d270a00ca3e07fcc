"""Counters that the event loop adds to, and that a scrape reads.

prometheus_client's own take a lock and a search for each, since any thread may add to them: three
to five times as long, at each call and each text. Here only one thread does.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Distribution:
    """A histogram: how many values were at most each of some bounds, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_all(self, values: Iterable[float]) -> None:
        """Count some values."""
        for value in values:
            self.add(value)

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Return the buckets, as prometheus_client takes them, and the sum."""
        counts = accumulate(self._counts[:])
        bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(bounds, counts, strict=True)), self._sum


class Calls:
    """The calls of one method that have ended."""

    __slots__ = ("codes", "seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.codes = {"OK": 0}
        """How many, by status code."""
        self.seconds = Distribution(bounds)
