"""What every format offers, and what is said of a text whatever the format."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from valence_client.cli.reading.row import Row
    from valence_client.errors import ValenceError
    from valence_client.results import Outcome, Sentiment


class Format(Protocol):
    """From rows and outcomes to records."""

    def header(self) -> bytes:
        """What stands before the first record."""
        ...

    def record(self, row: Row, outcome: Outcome) -> bytes:
        """A record, with its end."""
        ...


class ResumableFormat(Format, Protocol):
    """A format whose records can be told apart again."""

    def complete(self, file: BinaryIO) -> Iterator[bytes]:
        """The header, if there is one, and the records of a file; not what was cut off."""
        ...

    def may_begin(self, cut: bytes) -> bool:
        """Whether a file of this format may begin so, where nothing of it is complete."""
        ...

    def belongs(self, record: bytes, row: Row) -> bool:
        """Whether the record is one of this row."""
        ...

    def has_error(self, record: bytes) -> bool:
        """Whether a record that belongs to its row has an error."""
        ...


def sentiment_fields(sentiment: Sentiment) -> dict[str, Any]:
    """Everything that was said of a text. By hand: dataclasses.asdict takes ten times as long."""
    timings = sentiment.timings
    return {
        "label": sentiment.label,
        "score": sentiment.score,
        "scores": [{"label": item.label, "score": item.score} for item in sentiment.scores],
        "polarity": sentiment.polarity,
        "valence": sentiment.valence,
        "tokens_total": sentiment.tokens_total,
        "tokens_used": sentiment.tokens_used,
        "truncated": sentiment.truncated,
        "model": {"name": sentiment.model.name, "revision": sentiment.model.revision},
        "timings": timings
        and {
            "queue_seconds": timings.queue_seconds,
            "inference_seconds": timings.inference_seconds,
        },
    }


def error_fields(error: ValenceError) -> dict[str, Any]:
    """What an error knows."""
    return {"message": str(error), **vars(error), "code": error.code.name}


def to_json(value: object) -> str:
    """One line. What JSON has no word for is written as text, and no number as null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=str)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_bytes(text: str) -> bytes:
    """UTF-8. A lone surrogate, which UTF-8 has not, stays the escape that JSON writes for it."""
    return text.encode(errors="backslashreplace")
