"""The largest batch, to compute before the scheduler relies on its estimate."""

from __future__ import annotations

from valence_service.scheduler.canary import CANARY
from valence_service.scheduler.queue import BYTES_PER_TOKEN, SPECIAL_TOKENS


def largest_batch(
    *, max_batch_texts: int, max_batch_tokens: int, max_text_tokens: int
) -> list[str]:
    """Return as many texts as a batch may have, together of as many tokens as it may have."""
    tokens = min(max(max_batch_tokens // max_batch_texts, SPECIAL_TOKENS + 1), max_text_tokens)
    texts = min(max_batch_texts, max(1, max_batch_tokens // tokens))
    size = int((tokens - SPECIAL_TOKENS) * BYTES_PER_TOKEN)
    sentence = f"{CANARY} "
    return [(sentence * (size // len(sentence) + 1))[:size]] * texts
