"""The canary: a harmless text that a well replica answers as it did at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valence_service.core.sentiment import Polarity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.core.sentiment import Sentiment

CANARY = "I loved every minute of it."
# The kernels that compute it, and so the last digits, depend on what else is under way.
TOLERANCE = 0.05


class ReplicaBroken(Exception):
    """A replica, or its thread, does not answer the canary as it did at the start."""


class Canary:
    """The answer to the text, once it is known. Used by the event loop alone."""

    def __init__(self, *, positive: bool = False) -> None:
        """Expect any answer at first; a positive one if the model is known to give that."""
        self._positive = positive
        self._known: dict[str, float] = {}

    def check(self, sentiments: Sequence[Sentiment]) -> None:
        """Raise ReplicaBroken unless this is one answer, and the same as the first was."""
        if len(sentiments) != 1:
            raise ReplicaBroken(f"{len(sentiments)} answers to one text")
        scores = {score.label: score.score for score in sentiments[0].scores}
        if self._positive and sentiments[0].polarity is not Polarity.POSITIVE:
            raise ReplicaBroken(f"it finds {CANARY!r} {sentiments[0].polarity.name}")
        known = self._known = self._known or scores
        if scores.keys() != known.keys() or any(
            abs(score - known[label]) > TOLERANCE * max(1, abs(known[label]))
            for label, score in scores.items()
        ):
            raise ReplicaBroken(f"it answered {known} at the start, and {scores} now")
