"""Write JSONL: the input's fields, then those of the sentiment or the error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from valence_client.cli.reading.row import FileError
from valence_client.cli.writing.record import error_fields, sentiment_fields, to_bytes, to_json
from valence_client.errors import ValenceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valence_client.cli.reading.row import Row
    from valence_client.results import Outcome

ADDED = frozenset(
    (
        *("label", "score", "scores", "polarity", "valence", "tokens_total", "tokens_used"),
        *("tokens_unknown", "layers_used", "truncated", "model", "timings", "error"),
    )
)


class Jsonl:
    """An object for each row."""

    def __init__(self, *, prefix: str = "", name: str = "") -> None:
        """Add fields whose names begin with ``prefix``. ``name``: the input, for messages."""
        self._prefix = prefix
        self._name = name
        self._added = frozenset(prefix + field for field in ADDED)

    def header(self) -> bytes:
        """Return nothing: JSONL has no header."""
        return b""

    def record(self, row: Row, outcome: Outcome) -> bytes:
        """Return the record of a row. Raise FileError if the row has an added field already."""
        if not self._added.isdisjoint(row.columns):
            clash = min(self._added.intersection(row.columns))
            raise FileError(
                f"{self._name}:{row.number} has a field {clash!r} of its own: rename the added "
                "ones, as with --prefix sentiment_"
            )
        if isinstance(outcome, ValenceError):
            added: dict[str, Any] = {"error": error_fields(outcome)}
        else:
            added = sentiment_fields(outcome)
        if self._prefix:
            added = {self._prefix + field: value for field, value in added.items()}
        return _beginning(row) + to_bytes(to_json(added)[1:] + "\n")

    def complete(self, file: BinaryIO) -> Iterator[bytes]:
        """Return the lines that have their end."""
        return (line for line in file if line.endswith(b"\n"))

    def may_begin(self, cut: bytes) -> bool:
        """Return whether ``cut`` may begin an object."""
        return b"{".startswith(cut[:1])

    def belongs(self, record: bytes, row: Row) -> bool:
        """Return whether it begins with the row's fields, and has a sentiment or an error."""
        fields = _parsed(record)
        answered = f"{self._prefix}label" in fields or f"{self._prefix}error" in fields
        return answered and record.startswith(_beginning(row))

    def has_error(self, record: bytes) -> bool:
        """Return whether the record has an error."""
        return f"{self._prefix}error" in _parsed(record)


def _beginning(row: Row) -> bytes:
    """Return the row's object without its end, ready for more fields: ``{"id": 1, ``."""
    opened = (row.json or to_json(row.columns))[:-1].rstrip()
    return to_bytes(opened + ", " if row.columns else opened)


def _parsed(record: bytes) -> dict[str, Any]:
    """Return the fields of a record; none if it is not an object."""
    try:
        fields = json.loads(record)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
