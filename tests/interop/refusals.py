"""Requests that every language sends, and what is said of each, in whole or in part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.interop.texts import MAX_TEXT_BYTES

MAX_QUEUE_TEXTS = 48
OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED = 0, 3, 8

_TYPE = "type.googleapis.com/google.rpc."


@dataclass(frozen=True)
class Refusal:
    """A bad request, and the google.rpc.Status of each error that comes of it.

    Where the call itself ends with OK, its responses carry them.
    """

    method: str
    request: dict[str, Any]
    code: int
    errors: list[dict[str, Any]]


def _error_info(reason: str) -> dict[str, Any]:
    return {"@type": _TYPE + "ErrorInfo", "reason": reason, "domain": "valence"}


def _invalid(field: str, description: str) -> dict[str, Any]:
    violations = [{"field": field, "description": description}]
    bad_request = {"@type": _TYPE + "BadRequest", "fieldViolations": violations}
    return {
        "code": INVALID_ARGUMENT,
        "message": f"{field}: {description}",
        "details": [_error_info("INVALID_FIELD"), bad_request],
    }


def _overloaded(message: str, retry_delay: str) -> dict[str, Any]:
    retry_info = {"@type": _TYPE + "RetryInfo", "retryDelay": retry_delay}
    return {
        "code": RESOURCE_EXHAUSTED,
        "message": message,
        "details": [_error_info("OVERLOADED"), retry_info],
    }


_EMPTY = "is empty or only white space"
_INVISIBLE = "has only characters that show nothing: control, zero-width or combining ones"

REFUSALS = {
    "no text": Refusal("Classify", {}, INVALID_ARGUMENT, [_invalid("text", _EMPTY)]),
    "white space": Refusal(
        "Classify", {"text": "\u3000\t\r\n "}, INVALID_ARGUMENT, [_invalid("text", _EMPTY)]
    ),
    "nothing to see": Refusal(
        "Classify", {"text": "\u200b\ufeff"}, INVALID_ARGUMENT, [_invalid("text", _INVISIBLE)]
    ),
    "a byte too many": Refusal(
        "Classify",
        {"text": "é" * (MAX_TEXT_BYTES // 2) + "!"},
        INVALID_ARGUMENT,
        [_invalid("text", "has 65537 bytes, over the limit of 65536")],
    ),
    "too many tokens": Refusal(
        "Classify",
        {"text": "good " * 600, "overlength": "OVERLENGTH_REJECT"},
        INVALID_ARGUMENT,
        [
            _invalid(
                "text",
                "has 602 tokens, over the limit of 512: shorten it, or ask for "
                "OVERLENGTH_TRUNCATE or OVERLENGTH_WINDOWS",
            )
        ],
    ),
    "an unknown enum": Refusal(
        "Classify",
        {"text": "good", "overlength": 7},
        INVALID_ARGUMENT,
        [
            _invalid(
                "overlength",
                "7 is none of OVERLENGTH_UNSPECIFIED, OVERLENGTH_REJECT, OVERLENGTH_TRUNCATE, "
                "OVERLENGTH_WINDOWS",
            )
        ],
    ),
    "too many texts": Refusal(
        "BatchClassify",
        {"texts": ["good"] * 65},
        INVALID_ARGUMENT,
        [_invalid("texts", "has 65 texts, over the limit of 64")],
    ),
    "more than the queue holds": Refusal(
        "BatchClassify",
        {"texts": ["good"] * (MAX_QUEUE_TEXTS + 1)},
        RESOURCE_EXHAUSTED,
        [
            _overloaded(
                "the queue has no room for 49 more: it holds 0 of at most 48 texts", "0.050s"
            )
        ],
    ),
    "two bad texts of four": Refusal(
        "BatchClassify",
        {"texts": ["good", "", "bad", "\u00a0"]},
        OK,
        [_invalid("texts[1]", _EMPTY), _invalid("texts[3]", _EMPTY)],
    ),
    "an id too long": Refusal(
        "StreamClassify",
        {"id": "😀" * 65, "text": "good"},
        OK,
        [_invalid("id", "has 260 bytes, over the limit of 256")],
    ),
    "an unknown option of a stream": Refusal(
        "StreamClassify",
        {"id": "1", "text": "good", "options": {"order": 9}},
        INVALID_ARGUMENT,
        [_invalid("options.order", "9 is none of ORDER_UNSPECIFIED, ORDER_REQUEST, ORDER_READY")],
    ),
}
