"""Answers texts of any length: the model reads windows, and one answer is made of theirs."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from valence_service.core.errors import InvalidField
from valence_service.core.sentiment import Answer, Timings
from valence_service.serving.aggregation import combine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    from valence_service.core.document import Span
    from valence_service.scheduler.queue import Flow
    from valence_service.serving.registry import ServedModel
    from valence_service.serving.windows import WindowPlan

T = TypeVar("T")


async def answer_whole(
    model: ServedModel, texts: Mapping[str, str], field: str, *, deadline: float | None
) -> list[Answer | Exception]:
    """Answer texts, each under its field, read to their end: a result for each, in order.

    Queue the windows of all of them or none. Raise ValenceError for none, such as InvalidField
    that names ``field``.
    """
    divider = model.divide("overlength")
    # Dividing costs too: a call that has no chance ends here.
    model.batcher.check_admission(deadline=deadline)
    with model.arrivals.arrival():
        with divider.room_for(texts.values()):
            plans = await _settled(divider.windows(text, field) for field, text in texts.items())
        parts = [
            [] if isinstance(plan, Exception) else parts_of(text, plan.windows)
            for text, plan in zip(texts.values(), plans, strict=True)
        ]
        futures = iter(submit_parts(model, [*chain(*parts)], field, deadline=deadline))
    return await _settled(
        _result(model, plan, [next(futures) for _ in windows])
        for plan, windows in zip(plans, parts, strict=True)
    )


async def submit_whole(
    model: ServedModel, text: str, flow: Flow, *, deadline: float | None
) -> asyncio.Future[Answer]:
    """Queue a text of a stream, read to its end, as soon as the queue has room for each window.

    Raise ValenceError.
    """
    plan = await model.divide("options.overlength").windows_in_turn(text, "text")
    futures: list[asyncio.Future[Answer]] = []
    try:
        for part in parts_of(text, plan.windows):
            future = await model.batcher.submit_wait(part, flow, deadline=deadline)
            futures.append(future)
    except BaseException:
        _cancel(futures)
        raise
    return asyncio.ensure_future(_result(model, plan, futures))


def parts_of(text: str, spans: Iterable[Span]) -> list[str]:
    """Return the parts of a text."""
    return [text[span.begin : span.end] for span in spans]


def submit_parts(
    model: ServedModel, parts: Sequence[str], field: str, *, deadline: float | None
) -> list[asyncio.Future[Answer]]:
    """Queue the parts of texts, all or none, as one flow. Raise ValenceError."""
    most = model.batcher.max_queue_texts
    if len(parts) > most:
        raise InvalidField(
            field,
            f"is read in {len(parts)} windows and sentences, and the queue holds {most}: shorten "
            "it, or let the server queue more (--max-queue-texts)",
        )
    return model.batcher.submit(parts, deadline=deadline)


async def all_answers(futures: Sequence[asyncio.Future[Answer]]) -> list[Answer]:
    """Return every answer; at the first error, leave the queue and raise it."""
    try:
        return await asyncio.gather(*futures)
    finally:
        _cancel(futures)


def longest(answers: Iterable[Answer]) -> Timings:
    """Return the longest wait and the longest computation, from the first arrival on."""
    timings = [answer.timings for answer in answers]
    return Timings(
        queue_seconds=max(each.queue_seconds for each in timings),
        inference_seconds=max(each.inference_seconds for each in timings),
        queued_at=min(each.queued_at for each in timings),
    )


def combined(model: ServedModel, plan: WindowPlan, answers: Sequence[Answer]) -> Answer:
    """Return the answer of a text from those of its windows."""
    sentiment = combine(
        [answer.sentiment for answer in answers],
        model.info.labels,
        tokens_total=plan.tokens_total,
        tokens_unknown=plan.tokens_unknown,
    )
    return Answer(sentiment, longest(answers))


async def _result(
    model: ServedModel, plan: WindowPlan | Exception, windows: Sequence[asyncio.Future[Answer]]
) -> Answer:
    if isinstance(plan, Exception):
        raise plan
    return combined(model, plan, await all_answers(windows))


def _cancel(futures: Iterable[asyncio.Future[Answer]]) -> None:
    for future in futures:
        future.cancel()


async def _settled(awaitables: Iterable[Awaitable[T]]) -> list[T | Exception]:
    """Return the result or the error of each. A cancellation is the whole call's."""
    results: list[T | Exception] = []
    for result in await asyncio.gather(*awaitables, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result
        results.append(result)
    return results
