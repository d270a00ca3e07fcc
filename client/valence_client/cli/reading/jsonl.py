"""Read JSON objects: one a line, or the items of an array."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from valence_client.cli.reading.row import FileError, Number, Row, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from valence_client.cli.reading.lines import Line

UNPARSED = "unparsed"
"""The output's field for a line that is not an object."""
# Python refuses to convert longer ones, by default above 4300.
_INTEGER_DIGITS = 600


class Objects:
    """The objects of a file. Blank lines are skipped."""

    def __init__(self, lines: Iterator[Line], *, name: str, field: str | None) -> None:
        """Read the first object. Raise FileError if it lacks the field with the texts."""
        self._name = name
        self._field = field
        self._known = False
        rows: Iterator[Row] = map(self._row, filter(_is_written, lines))
        first = next(rows, None)
        self.columns: tuple[str, ...] | None = ()
        if first is not None:
            self.columns = None if UNPARSED in first.columns else tuple(first.columns)
            rows = itertools.chain([first], rows)
        self.rows = rows

    def _row(self, line: Line) -> Row:
        written = line.text.strip()
        problem = line.problem
        value: Any = None
        if not problem:
            value, problem = _parsed(written)
        if problem:
            return Row(line.number, line.position, {UNPARSED: written}, problem=problem)
        if not self._known:
            self._field = self._choose(value)
            self._known = True
        text, problem = _text_at(value, str(self._field))
        return Row(line.number, line.position, value, text, problem, written)

    def _choose(self, first: Mapping[str, Any]) -> str:
        """Return the field with the texts, given the first object."""
        field = self._field
        if field is None and len(first) == 1:
            return next(iter(first))
        if field is None and "text" not in first:
            raise FileError(
                f"{self._name} has no field 'text': say which holds the texts with --field; "
                f"it has {listed(first)}"
            )
        if field is not None and _find(first, field) is _MISSING:
            raise FileError(f"{self._name} has no field {field!r}; it has {listed(first)}")
        return field or "text"


class _Ambiguous(dict[str, Any]):
    """An object that has a name twice. Its value is the last one, as in most parsers."""

    twice: frozenset[str]


_MISSING, _TWICE = object(), object()


def _is_written(line: Line) -> bool:
    return bool(line.text.strip())


def _parsed(written: str) -> tuple[Any, str]:
    """Return the object and an empty string, or None and the problem.

    NaN and infinity are no JSON, but many programs write them.
    """
    try:
        value = json.loads(
            written, object_pairs_hook=_object, parse_float=Number, parse_int=_integer
        )
    except (ValueError, RecursionError) as error:
        return None, f"is not JSON: {error}"
    if not isinstance(value, dict):
        return None, "is not a JSON object"
    return value, ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    ambiguous = _Ambiguous(found)
    names = [name for name, _ in pairs]
    ambiguous.twice = frozenset(name for name in found if names.count(name) > 1)
    return ambiguous


def _integer(digits: str) -> int | Number:
    return int(digits) if len(digits) <= _INTEGER_DIGITS else Number(digits)


def _text_at(value: Mapping[str, Any], field: str) -> tuple[str, str]:
    """Return the text and an empty string, or an empty text and the problem."""
    found = _find(value, field)
    if found is _MISSING:
        return "", f"has no field {field!r}"
    if found is _TWICE:
        return "", f"has the field {field!r} twice"
    if not isinstance(found, str):
        return "", f"has no text in {field!r}: {json.dumps(found)[:40]}"
    return found, ""


def _find(value: Mapping[str, Any], field: str) -> Any:
    """Return the field of that name, or the nested one of a dotted name: ``review.body``."""
    found: Any = value
    for name in (field,) if field in value else field.split("."):
        if not isinstance(found, dict) or name not in found:
            return _MISSING
        if isinstance(found, _Ambiguous) and name in found.twice:
            return _TWICE
        found = found[name]
    return found
