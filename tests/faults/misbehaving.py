"""valence-serve, with a model that misbehaves at certain words. All else of it is real.

Run as a script, with valence-serve's own flags. Words in the variable HANGS_ON hang it, too, each
text takes the seconds in SECONDS_PER_TEXT longer, and with CANNOT_REPLACE no replica is replaced.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from valence_service.core.classifier import Classifier
from valence_service.core.sentiment import Sentiment

RAISES, HANGS, ONE_TOO_FEW, BREAKS = "xraises", "xhangs", "xfew", "xbreaks"
SECRET = "the password is swordfish"


class Misbehaving:
    """A replica that does what the words in a text say, and else what the real one does."""

    def __init__(self, classifier: Classifier, breaks: threading.Semaphore) -> None:
        self.info = classifier.info
        self.tokens = classifier.tokens
        self._classifier = classifier
        self._breaks = breaks
        self._broken = False
        self._hangs_on = os.environ.get("HANGS_ON", HANGS)
        self._seconds_per_text = float(os.environ.get("SECONDS_PER_TEXT", "0"))

    def classify(self, texts: Sequence[str], *, full_depth: bool = False) -> Sequence[Sentiment]:
        words = " ".join(texts)
        if BREAKS in words and self._breaks.acquire(blocking=False):
            self._broken = True
        if self._broken:
            raise MemoryError(SECRET)
        if HANGS in words or self._hangs_on in words:
            # Each replica may hang: in one piece, not to mix with another's line.
            os.write(sys.stderr.fileno(), b'{"event": "hangs"}\n')
            threading.Event().wait()
        if RAISES in words:
            raise RuntimeError(SECRET)
        time.sleep(len(texts) * self._seconds_per_text)
        sentiments = self._classifier.classify(texts, full_depth=full_depth)
        return sentiments[1:] if ONE_TOO_FEW in words else sentiments


def misbehaving(load: Callable[..., Any]) -> Callable[..., Any]:
    """Let the replicas of the model that load returns misbehave. Of all one can be broken."""

    @functools.wraps(load)
    def loaded(*arguments: object, **options: object) -> Any:
        breaks = threading.Semaphore(1)
        model = load(*arguments, **options)

        def new_classifier() -> Classifier:
            if "CANNOT_REPLACE" in os.environ:
                raise MemoryError(SECRET)
            made: Classifier = model.new_classifier()
            return made

        return dataclasses.replace(
            model,
            classifiers=[Misbehaving(classifier, breaks) for classifier in model.classifiers],
            new_classifier=lambda: Misbehaving(new_classifier(), breaks),
        )

    return loaded


if __name__ == "__main__":
    # Before the service imports it by name, and without grpc: that is to come after main has said
    # what grpc may print.
    from valence_service.backends import load

    vars(load)["load_model"] = misbehaving(load.load_model)
    from valence_service.__main__ import main

    main()
