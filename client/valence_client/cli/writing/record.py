"""The interface of every format, and the fields that formats share."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Protocol

from valence_client.cli.reading.row import Number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from valence_client.cli.reading.row import Row
    from valence_client.errors import ValenceError
    from valence_client.results import Outcome, Sentiment


class Format(Protocol):
    """Makes records from rows and outcomes."""

    def header(self) -> bytes:
        """Return the bytes before the first record."""
        ...

    def record(self, row: Row, outcome: Outcome) -> bytes:
        """Return a record, with its end."""
        ...


class ResumableFormat(Format, Protocol):
    """A format whose records can be read back."""

    def complete(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the header, if there is one, and the records of a file, but no incomplete one."""
        ...

    def may_begin(self, cut: bytes) -> bool:
        """Return whether a file without a complete record may begin with ``cut``."""
        ...

    def belongs(self, record: bytes, row: Row) -> bool:
        """Return whether the record is that of this row."""
        ...

    def has_error(self, record: bytes) -> bool:
        """Return whether a record that belongs to its row has an error."""
        ...


def sentiment_fields(sentiment: Sentiment) -> dict[str, Any]:
    """Return every field of a sentiment. dataclasses.asdict takes ten times as long."""
    timings = sentiment.timings
    return {
        "label": sentiment.label,
        "score": sentiment.score,
        "scores": [{"label": item.label, "score": item.score} for item in sentiment.scores],
        "polarity": sentiment.polarity,
        "valence": sentiment.valence,
        "tokens_total": sentiment.tokens_total,
        "tokens_used": sentiment.tokens_used,
        "tokens_unknown": sentiment.tokens_unknown,
        "layers_used": sentiment.layers_used,
        "truncated": sentiment.truncated,
        "model": {"name": sentiment.model.name, "revision": sentiment.model.revision},
        "timings": timings
        and {
            "queue_seconds": timings.queue_seconds,
            "inference_seconds": timings.inference_seconds,
        },
    }


def error_fields(error: ValenceError) -> dict[str, Any]:
    """Return every field of an error."""
    return {"message": str(error), **vars(error), "code": error.code.name}


def to_json(value: object) -> str:
    """Return one line of JSON. A value that JSON lacks becomes text, as in protobuf: "NaN"."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=to_text)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=to_text)


def to_text(value: object) -> str:
    """Return a value that JSON lacks as text. Bytes that are no UTF-8 become escapes."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, Number):
        return value.written
    return json.dumps(value) if isinstance(value, float) else str(value)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return to_text(value) if isinstance(value, float) and not math.isfinite(value) else value


def to_bytes(text: str) -> bytes:
    """Return UTF-8. A lone surrogate, which UTF-8 lacks, becomes JSON's escape for it."""
    return text.encode(errors="backslashreplace")
