"""A document: its sentences with their places, and the sentiment of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from valence_service.serving.aggregation import mixed
from valence_service.serving.long_texts import (
    all_answers,
    combined,
    longest,
    parts_of,
    submit_parts,
)
from valence_service.serving.offsets import in_unit
from valence_service.serving.validation import check_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.core.document import Span
    from valence_service.core.limits import Limits
    from valence_service.core.sentiment import Answer, Sentiment, Timings
    from valence_service.serving.options import OffsetUnit
    from valence_service.serving.registry import ServedModel


@dataclass(frozen=True, slots=True)
class Document:
    """What the model says of a document."""

    sentiment: Sentiment
    """Of the whole."""
    sentences: Sequence[tuple[Span, Sentiment]]
    """In order, with their places in the unit of the request."""
    mixed: float | None
    """0 to 1; None where a label has no valence."""
    windows: int
    """How many the model has read for the sentiment of the whole."""
    timings: Timings


async def answer_document(
    model: ServedModel, text: str, unit: OffsetUnit, limits: Limits, *, deadline: float | None
) -> Document:
    """Answer a document. Raise ValenceError if any part of it has no answer."""
    check_document(text, limits)
    divider = model.divide("text")
    # Dividing costs too: a call that has no chance ends here.
    model.batcher.check_admission(deadline=deadline)
    with model.arrivals.arrival():
        with divider.room_for([text]):
            plan = await divider.document(text, max_sentences=limits.max_sentences)
        windows, sentences = parts_of(text, plan.whole.windows), parts_of(text, plan.sentences)
        # A text that is one sentence is also its only window, and sentences repeat.
        parts = list(dict.fromkeys([*windows, *sentences]))
        futures = submit_parts(model, parts, "text", deadline=deadline)
    answers: dict[str, Answer] = dict(zip(parts, await all_answers(futures), strict=True))
    sentiments = [answers[sentence].sentiment for sentence in sentences]
    return Document(
        sentiment=combined(model, plan.whole, [answers[window] for window in windows]).sentiment,
        sentences=list(zip(in_unit(text, plan.sentences, unit), sentiments, strict=True)),
        mixed=mixed(sentiments),
        windows=len(windows),
        timings=longest(answers.values()),
    )
