"""What a request may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may hold."""

    max_text_bytes: int
    max_batch_texts: int
    max_id_bytes: int = 256
    max_document_bytes: int = 65536
    max_sentences: int = 800
