"""The largest batch, to compute before the scheduler relies on its estimate."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from valence_service.scheduler.canary import CANARY, ReplicaBroken
from valence_service.scheduler.queue import BYTES_PER_TOKEN, SPECIAL_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valence_service.core.sentiment import Sentiment


class WarmUp:
    """A batch that a worker computes instead of its next one, and that no client waits for."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.sentiments: list[Sentiment] = []
        self.done: asyncio.Future[list[Sentiment]] = asyncio.get_running_loop().create_future()
        """Ends with the batch's sentiments, or with ReplicaBroken."""

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Settle ``done`` once the block ends. ReplicaBroken ends there; other errors go on."""
        error: ReplicaBroken | None = None
        try:
            yield
        except ReplicaBroken as broken:
            error = broken
        except BaseException as unforeseen:
            error = ReplicaBroken(f"its worker failed: {unforeseen!r}")
            raise
        finally:
            if not self.done.done():
                if error is None:
                    self.done.set_result(self.sentiments)
                else:
                    self.done.set_exception(error)


def largest_batch(
    *, max_batch_texts: int, max_batch_tokens: int, max_text_tokens: int
) -> list[str]:
    """Return as many texts as a batch may have, together of as many tokens as it may have."""
    tokens = min(max(max_batch_tokens // max_batch_texts, SPECIAL_TOKENS + 1), max_text_tokens)
    texts = min(max_batch_texts, max(1, max_batch_tokens // tokens))
    size = int((tokens - SPECIAL_TOKENS) * BYTES_PER_TOKEN)
    sentence = f"{CANARY} "
    return [(sentence * (size // len(sentence) + 1))[:size]] * texts
