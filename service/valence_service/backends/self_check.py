"""Check that a model answers a text alike alone and in company, and as a reference does.

Padding must not change an answer. It does for models that mix or pool tokens over the width of a
micro-batch, and for conversions that lose a mask. No list of names tells which models those are,
so each model is tried: texts of several lengths, alone and together, through what will serve them.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from valence_service.backends.source import ModelUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from valence_service.core.sentiment import Sentiment

    Scores = Sequence[tuple[str, float]]

# A start does not wait longer for it. The shorter texts come first.
MAX_SECONDS = 15.0
# A conversion is kept, and so tried longer.
MAX_CONVERSION_SECONDS = 60.0
# Tokens of the texts, about. Each is a little above a width (micro_batches.rounded_up), so that a
# micro-batch pads much.
TOKENS = (5, 13, 34, 133, 262, 520, 1040)
# The longer text of a pair has so many words more: few enough to share a micro-batch.
MORE_WORDS = 5
# How much a score may differ, by precision. Half precisions and int8 round intermediate results,
# and another micro-batch takes other kernels, which round in another order.
TOLERANCE = {"f32": 1e-3, "f16": 0.05, "bf16": 0.05, "int8": 0.05}
# Where a model is sure, its scores hide what their logarithms show.
LOG_TOLERANCE = 20
# Mixed, so that few models are sure.
PASSAGE = (
    "The film was good at first, but the food and the service were not very good, and I was late. "
    "We loved the old town; nobody said why it rained. A bad hotel with great people, fine music "
    "and a slow lift! Is it worth the money? My sister thinks so, I would rather stay at home, "
    "although the view over the lake is something that you do not see every day."
)
_WORDS = PASSAGE.split()
# Whatever the time: the passage, which tells how long words are, and a pair, alone and together.
_LEAST_BATCHES = 3
log = structlog.get_logger()


class WrongAnswers(ModelUnusable):
    """The model, computed in this way, gives answers that are not its own."""


@dataclass(slots=True)
class SelfCheck:
    """The texts to try, and the answers that are known of them."""

    max_tokens: int
    """The most tokens of a text that is served."""
    precision: str
    reference: Callable[[str], Sentiment] | None = None
    """Computes the right answer; without it, the first answer to a text counts as right."""
    known: dict[str, Scores] = field(default_factory=dict)
    """The right answers, as far as they are known, by what was read of which text."""
    _words_per_token: float = 1.0
    _longest_tokens: int = 0

    def batches(self) -> Iterator[list[str]]:
        """Yield batches: each text alone and beside a longer one, then the short ones together.

        Compare the answers to one batch before the next: the first tells how long words are.
        """
        yield [PASSAGE]
        tokens = [tokens for tokens in TOKENS if tokens < self.max_tokens]
        pairs = [
            (_words(words), _words(words + MORE_WORDS))
            for count in (*tokens, self.max_tokens)
            if (words := max(1, round(count * self._words_per_token)))
        ]
        for short, longer in pairs:
            yield [short]
            yield [longer, short]
        yield [text for pair in pairs[:3] for text in pair]

    def compare(self, texts: Sequence[str], sentiments: Sequence[Sentiment]) -> None:
        """Raise WrongAnswers if an answer to a text is not the one that is known."""
        if len(sentiments) != len(texts):
            raise WrongAnswers(f"{len(sentiments)} answers to {len(texts)} texts")
        for text, sentiment in zip(texts, sentiments, strict=True):
            if text == PASSAGE:
                self._words_per_token = len(_WORDS) / sentiment.tokens_total
            self._longest_tokens = max(self._longest_tokens, sentiment.tokens_used)
            scores = _scores(sentiment)
            read = f"{sentiment.tokens_used} tokens of {text}"
            known = self.known.get(read)
            if known is None:
                known = _scores(self.reference(text)) if self.reference else scores
                self.known[read] = known
            if _differ(scores, known, TOLERANCE[self.precision]):
                company = f"beside {len(texts) - 1} others" if len(texts) > 1 else "alone"
                raise WrongAnswers(
                    f"a text of {sentiment.tokens_used} tokens {company} scores "
                    f"{_rounded(scores)}, and should score {_rounded(known)}"
                )

    def run(
        self,
        classify: Callable[[Sequence[str]], Sequence[Sentiment]],
        *,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """Try classify until the time is up. Raise WrongAnswers."""
        started = time.monotonic()
        size = 0
        for number, texts in enumerate(self.batches(), start=1):
            spent = time.monotonic() - started
            size_ahead = sum(map(len, texts))
            # Each batch is foreseen to take as long for a character as those before it.
            if number > _LEAST_BATCHES and spent * (1 + size_ahead / size) > max_seconds:
                break
            try:
                self.compare(texts, classify(texts))
            except WrongAnswers:
                raise
            except Exception as error:
                reason = " ".join(str(error).split())[:200]
                raise WrongAnswers(
                    f"it fails on {len(texts)} texts with {type(error).__name__}: {reason}"
                ) from error
            size += size_ahead
        log.info("self_check", **self.summary(), seconds=round(time.monotonic() - started, 2))

    def summary(self) -> dict[str, str | int]:
        """Return what was compared, for the log."""
        return {
            "texts": len(self.known),
            "longest_tokens": self._longest_tokens,
            "compared_with": "known answers" if self.reference else "itself",
        }


def _words(count: int) -> str:
    return " ".join(_WORDS[index % len(_WORDS)] for index in range(count))


def _scores(sentiment: Sentiment) -> Scores:
    # By name: two labels may have one.
    return sorted((item.label, item.score) for item in sentiment.scores)


def _differ(one: Scores, other: Scores, tolerance: float) -> bool:
    return [label for label, _ in one] != [label for label, _ in other] or any(
        abs(score - right) > tolerance * max(1.0, abs(right))
        or (
            0 < score < 1
            and 0 < right < 1
            and abs(math.log(score / right)) > LOG_TOLERANCE * tolerance
        )
        for (_, score), (_, right) in zip(one, other, strict=True)
    )


def _rounded(scores: Scores) -> str:
    return ", ".join(f"{label} {score:.3f}" for label, score in scores)
