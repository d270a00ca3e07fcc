"""The clock that measures waits and computations.

The event loop's own tells deadlines. uvloop's counts whole milliseconds, and a lone text takes two.
"""

from __future__ import annotations

import time

now = time.monotonic
"""Seconds since some moment in the past."""
