"""The forms of JSON that people bring: the tutorial's, and that of Hugging Face's servers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from starlette.responses import JSONResponse
from valence.v1 import sentiment_pb2 as pb

from valence_service.core.errors import InvalidField, UnknownModel
from valence_service.serving.options import Overlength
from valence_service.transports.http.errors import BadBody
from valence_service.transports.http.json_text import parse_object, shown, value_named
from valence_service.transports.messages import Replies, read_offset_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.types import Scope

    from valence_service.core.sentiment import Answer
    from valence_service.serving.service import SentimentService
    from valence_service.transports.http.calls import HttpCall


class JsonApi:
    """Answers bodies of JSON with JSON."""

    def __init__(self, service: SentimentService) -> None:
        self._service = service

    async def analyze(self, call: HttpCall, body: bytes, _: Scope) -> Response:
        """Answer ``{"text": "…"}`` with ``{"label": "…", "score": 0.99}``."""
        text = _text(_object(call, body, self._service.limits.max_batch_texts), "text")
        answer = await self._service.classify(call, text, Overlength.TRUNCATE)
        top = answer.sentiment.scores[0]
        return JSONResponse({"label": top.label, "score": top.score})

    async def document(self, call: HttpCall, body: bytes, _: Scope) -> Response:
        """Answer ``{"text": "…", "offset_unit": "utf8_bytes"}`` with the reply in proto3's JSON."""
        request = _object(call, body, self._service.limits.max_batch_texts)
        text = _text(request, "text")
        name = _string(request.get("offset_unit", "code_points"), "offset_unit")
        unit = read_offset_unit(value_named(pb.OffsetUnit, "offset_unit", name))
        replies = Replies.of(self._service)
        document = await self._service.classify_document(call, text, unit)
        message = replies.document(document)
        return JSONResponse(MessageToDict(message, always_print_fields_with_no_presence=True))

    async def infer(self, call: HttpCall, body: bytes, scope: Scope) -> Response:
        """Answer ``{"inputs": "…"}``, or a list of texts, with every label of each text."""
        self._check_name(scope["path_params"]["name"])
        request = _object(call, body, self._service.limits.max_batch_texts)
        top = _top_k(request)
        inputs = request.get("inputs")
        if isinstance(inputs, list):
            texts = [_string(text, f"inputs[{index}]") for index, text in enumerate(inputs)]
            answers = await self._batch(call, texts)
        else:
            text = _text(request, "inputs")
            try:
                answers = [await self._service.classify(call, text, Overlength.TRUNCATE)]
            except InvalidField as error:
                raise InvalidField("inputs", error.description) from None
        return JSONResponse([_scores(answer, top) for answer in answers])

    async def _batch(self, call: HttpCall, texts: Sequence[str]) -> list[Answer]:
        """Answer all of the texts. Raise the first error: this form has none for one text."""
        answers = []
        try:
            for result in await self._service.classify_batch(call, texts, Overlength.TRUNCATE):
                if isinstance(result, Exception):
                    raise result
                answers.append(result)
        except InvalidField as error:
            raise InvalidField(
                error.field.replace("texts", "inputs", 1), error.description
            ) from None
        return answers

    def _check_name(self, name: str) -> None:
        served = self._service.model().name
        if name != served:
            raise UnknownModel(f"no model {shown(name)} is served here: there is {served!r}")


def _object(call: HttpCall, body: bytes, max_texts: int) -> dict[str, Any]:
    content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise BadBody(
            f"the body is declared as {content_type or 'nothing'}: send JSON, and the header "
            "content-type: application/json",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    return parse_object(body, max_texts)


def _text(request: dict[str, Any], field: str) -> str:
    if field not in request:
        raise InvalidField(field, "is missing")
    return _string(request[field], field)


def _string(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidField(field, "is not a string")
    return value


def _top_k(request: dict[str, Any]) -> int | None:
    """Return how many labels are asked for. Raise InvalidField for parameters of another effect."""
    parameters = request.get("parameters")
    if parameters is None:
        return None
    if not isinstance(parameters, dict):
        raise InvalidField("parameters", "is not a JSON object")
    for name, value in parameters.items():
        if name != "top_k" and value is not None:
            raise InvalidField("parameters", f"has {shown(name)}, and only top_k is known here")
    top = parameters.get("top_k")
    if top is not None and (not isinstance(top, int) or isinstance(top, bool) or top < 1):
        raise InvalidField("parameters.top_k", "is not a number of labels")
    return top


def _scores(answer: Answer, top: int | None) -> list[dict[str, Any]]:
    return [{"label": s.label, "score": s.score} for s in answer.sentiment.scores[:top]]
