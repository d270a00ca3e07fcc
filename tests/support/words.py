"""A model whose tokens are words, with three labels, and what divides texts for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from valence_service.backends.labels import read_scores
from valence_service.core.document import TextTokens
from valence_service.core.sentiment import Label, ModelInfo, Sentiment
from valence_service.segmentation.sentences import SentenceSegmenter
from valence_service.serving.division import Divider

from tests.support.classifier import MAX_TOKENS, EchoClassifier

SPECIAL_TOKENS = 2
LABELS = (Label("bad", -1.0), Label("so-so", 0.0), Label("good", 1.0))


class WordReader:
    """Each word is a token."""

    def read(self, text: str) -> TextTokens:
        spans = [match.span() for match in re.finditer(r"\S+", text)]
        return TextTokens(spans, len(spans) + SPECIAL_TOKENS, text.count("☀"))

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + SPECIAL_TOKENS for text in texts]


class WordClassifier(EchoClassifier):
    """Scores a text by its words "good" and "bad"; the others are so-so."""

    info = ModelInfo(
        name="words",
        revision="1",
        labels=LABELS,
        max_tokens=MAX_TOKENS,
        engine="words",
        precision="f32",
        device="cpu",
    )

    @staticmethod
    def _sentiment(text: str) -> Sentiment:
        words = text.split()
        used = words[: MAX_TOKENS - SPECIAL_TOKENS]
        bad, good = (sum(side in word for word in used) for side in ("bad", "good"))
        said = [bad, len(used) - bad - good, good]
        return read_scores(
            [(each + 0.1) / (len(used) + 0.3) for each in said],
            LABELS,
            probabilities=True,
            tokens_total=len(words) + SPECIAL_TOKENS,
            tokens_used=len(used) + SPECIAL_TOKENS,
            tokens_unknown=text.count("☀"),
            layers_used=6,
        )


def word_divider() -> Divider:
    """What divides texts for the classifier of words."""
    return Divider(SentenceSegmenter(), WordReader(), max_tokens=MAX_TOKENS)
