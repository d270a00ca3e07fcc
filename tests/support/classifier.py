"""A classifier whose answers tell which text they belong to, and that can be held."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from valence_service.core.classifier import TokenCount
from valence_service.core.sentiment import Label, LabelScore, ModelInfo, Polarity, Sentiment

SECRET = "the password is swordfish"
POISON = "poison"
MAX_TOKENS = 16
LAYERS = 6


class EchoClassifier:
    """The label of an answer is its text. Raises on POISON, waits while held."""

    info = ModelInfo(
        name="echo",
        revision="1",
        labels=(Label("POSITIVE", 1.0), Label("NEGATIVE", -1.0)),
        max_tokens=MAX_TOKENS,
        engine="echo",
        precision="f32",
        device="cpu",
        layers=LAYERS,
    )

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.tokens = TokenCount()
        self._open = threading.Event()
        self._open.set()
        self._started = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def hold(self) -> None:
        """From now on a batch waits once it has started."""
        self._started.clear()
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def started(self) -> None:
        """Until a batch has started after the last hold."""
        async with asyncio.timeout(10):
            await self._started.wait()

    def classify(self, texts: Sequence[str], *, full_depth: bool = False) -> list[Sentiment]:
        self._loop.call_soon_threadsafe(self._started.set)
        assert self._open.wait(20), "held and never released"
        self.seen += texts
        if POISON in texts:
            raise RuntimeError(SECRET)
        return [self._sentiment(text) for text in texts]

    @staticmethod
    def _sentiment(text: str) -> Sentiment:
        tokens = len(text.split()) + 2
        return Sentiment(
            scores=(LabelScore(text, 0.75), LabelScore("NEGATIVE", 0.25)),
            polarity=Polarity.POSITIVE,
            valence=0.5,
            tokens_total=tokens,
            tokens_used=min(tokens, MAX_TOKENS),
            tokens_unknown=text.count("☀"),
            layers_used=LAYERS,
        )
