"""The service as a transport sees it: texts in, answers or errors out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from valence_service.core.errors import InvalidField
from valence_service.serving.documents import answer_document
from valence_service.serving.long_texts import answer_whole
from valence_service.serving.options import Overlength
from valence_service.serving.registry import Registry
from valence_service.serving.stream import Stream
from valence_service.serving.validation import check_batch, check_length, check_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from valence_service.core.call import CallScope
    from valence_service.core.errors import Unavailable
    from valence_service.core.limits import Limits
    from valence_service.core.sentiment import Answer, ModelInfo
    from valence_service.serving.documents import Document
    from valence_service.serving.options import OffsetUnit
    from valence_service.serving.registry import ServedModel
    from valence_service.serving.windows import WindowSize

    Result: TypeAlias = Answer | Exception
    """An answer, or why this text has none."""


class SentimentService:
    """Answers calls with the registry's model, or refuses them while there is a reason to."""

    def __init__(self, limits: Limits, *, window_texts: int) -> None:
        self.limits = limits
        self._registry = Registry()
        self._window_texts = window_texts
        self._streams: set[Stream] = set()

    @property
    def refused_calls(self) -> int:
        """Calls that were refused since the service takes none."""
        return self._registry.refused_calls

    @property
    def utilization(self) -> float:
        """How loaded the service is: at most 1 while no text waits; 0 without a model."""
        return self._registry.utilization

    @property
    def open_streams(self) -> int:
        """Streams under way."""
        return len(self._streams)

    def open(self, model: ServedModel) -> None:
        """Take calls from now on."""
        self._registry.add(model)

    def refuse(self, reason: Unavailable) -> None:
        """Take no more calls. Open streams answer what they have read, then end with reason."""
        self._registry.refuse(reason)
        for stream in self._streams:
            stream.stop(reason)

    def resume(self) -> None:
        """Take calls again."""
        self._registry.resume()

    def admit(self, call: CallScope) -> None:
        """Refuse a call of one text that cannot be answered in time, whatever its text.

        A transport may ask before it reads the text: a refusal then costs less.
        """
        self._registry.ready().batcher.check_admission(deadline=call.deadline)

    def check_ready(self, _: CallScope) -> None:
        """Refuse a call where no model answers. A transport may ask before it reads the texts."""
        self._registry.ready()

    def model(self) -> ModelInfo:
        """Return the model that answers. Raise Unavailable where none does."""
        return self._registry.ready().info

    def windows(self) -> WindowSize | None:
        """Return the windows that the model reads long texts in; None where it cannot."""
        divider = self._registry.ready().divider
        return divider.size if divider else None

    async def classify(self, call: CallScope, text: str, overlength: Overlength) -> Answer:
        """Answer one text. Raise ValenceError where there is no answer."""
        model = self._registry.ready()
        check_text(text, "text", self.limits)
        if overlength is Overlength.WINDOWS:
            (result,) = await answer_whole(model, {"text": text}, "text", deadline=call.deadline)
            if isinstance(result, Exception):
                raise result
            answer = result
        else:
            (future,) = model.batcher.submit([text], deadline=call.deadline)
            answer = await future
        call.timings = (answer.timings,)
        if overlength is Overlength.REJECT:
            check_length(answer.sentiment, "text", model.info.max_tokens)
        return answer

    async def classify_batch(
        self, call: CallScope, texts: Sequence[str], overlength: Overlength
    ) -> list[Result]:
        """Answer several texts: a result for each, in order. Raise ValenceError for all of them."""
        model = self._registry.ready()
        check_batch(len(texts), self.limits)
        errors = [self._error(text, f"texts[{index}]") for index, text in enumerate(texts)]
        good = {
            f"texts[{index}]": text
            for index, (text, error) in enumerate(zip(texts, errors, strict=True))
            if error is None
        }
        answers: Sequence[Answer | BaseException]
        if overlength is Overlength.WINDOWS:
            answers = await answer_whole(model, good, "texts", deadline=call.deadline)
        else:
            answers = await asyncio.gather(
                *model.batcher.submit(list(good.values()), deadline=call.deadline),
                return_exceptions=True,
            )
        results = list(_merge(errors, answers))
        call.timings = [r.timings for r in results if not isinstance(r, Exception)]
        if overlength is Overlength.REJECT:
            for index, result in enumerate(results):
                try:
                    if not isinstance(result, Exception):
                        check_length(result.sentiment, f"texts[{index}]", model.info.max_tokens)
                except InvalidField as error:
                    results[index] = error
        return results

    async def classify_document(self, call: CallScope, text: str, unit: OffsetUnit) -> Document:
        """Answer a document. Raise ValenceError where there is no answer."""
        model = self._registry.ready()
        document = await answer_document(model, text, unit, self.limits, deadline=call.deadline)
        call.timings = (document.timings,)
        return document

    def stream(self, call: CallScope) -> Stream:
        """Begin a stream; the transport must close it with ``async with``."""
        model = self._registry.ready()
        return Stream(
            model,
            self.limits,
            self._streams,
            window_texts=self._window_texts,
            deadline=call.deadline,
        )

    def _error(self, text: str, field: str) -> InvalidField | None:
        try:
            check_text(text, field, self.limits)
        except InvalidField as error:
            return error
        return None


def _merge(
    errors: Sequence[InvalidField | None], answers: Sequence[Answer | BaseException]
) -> Iterator[Result]:
    """Put the answers where there is no error."""
    following = iter(answers)
    for error in errors:
        result = error or next(following)
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result  # a cancellation is the whole call's
        yield result
