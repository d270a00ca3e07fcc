"""Which durations the client takes."""

from __future__ import annotations

MAX_SECONDS = 86_400
"""A day. gRPC and the threads' timers fail in ways of their own from some centuries on."""


def check_seconds(seconds: float, *, or_none: bool = False) -> None:
    """Raise ValueError for a timeout_seconds that is no duration, or longer than a day."""
    if not 0 < seconds <= MAX_SECONDS:
        other = ", or None for no deadline" if or_none else ""
        raise ValueError(
            f"timeout_seconds is {seconds}: give more than 0 and at most {MAX_SECONDS}{other}"
        )
