"""Reads JSON that people send: in UTF-8, each key once, and no more strings than a batch may have.

Parsers of JSON are lenient where a mistake would then get an answer: to the wrong text of two, say.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any, NoReturn

from valence_service.core.errors import InvalidField
from valence_service.transports.http.errors import BadBody

MAX_SHOWN_CHARACTERS = 80
# Within a string a quote is escaped, so this stands between two.
_NEXT_STRING = re.compile(rb'"[ \t\r\n]*,[ \t\r\n]*"')


def parse_object(body: bytes | bytearray, max_texts: int) -> dict[str, Any]:
    """Return the object that a body holds. Raise BadBody."""
    # Before a parser makes objects of them.
    if sum(1 for _ in islice(_NEXT_STRING.finditer(body), 2 * max_texts + 1)) > 2 * max_texts:
        raise BadBody(f"the body has far more strings than a batch of {max_texts} texts")
    value = parse_json(body, "the body")
    if not isinstance(value, dict):
        raise BadBody("the body is not a JSON object")
    return value


def parse_json(data: bytes | bytearray, what: str) -> Any:
    """Return the value of a JSON text, of which messages speak as ``what``. Raise BadBody."""
    try:
        return _DECODER.decode(data.decode("utf-8-sig"))
    except _RepeatedKey as error:
        raise BadBody(f"{what} has the key {shown(error.key)} twice in an object") from None
    except (ValueError, RecursionError):
        raise BadBody(f"{what} is not JSON in UTF-8") from None


def shown(text: str) -> str:
    """Return a client's text as a message can hold it: quoted, and not too long."""
    return ascii(text[:MAX_SHOWN_CHARACTERS])


def value_named(enum: Any, field: str, name: str) -> int:
    """Return the number of an enum's value, named without the enum: ``reject``.

    Raise InvalidField for an unknown name.
    """
    values: dict[str, int] = dict(enum.items())
    prefix = f"{field.upper()}_"
    if (number := values.get(prefix + name.upper())) is not None:
        return number
    known = ", ".join(value.removeprefix(prefix).lower() for value in values)
    raise InvalidField(field, f"{shown(name)} is none of {known}")


class _RepeatedKey(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKey(key)
            seen.add(key)
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)
