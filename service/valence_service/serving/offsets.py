"""Offsets of code points in other units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valence_service.core.document import Span
from valence_service.serving.options import OffsetUnit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_UNITS = {OffsetUnit.UTF8_BYTES: ("utf-8", 1), OffsetUnit.UTF16_UNITS: ("utf-16-le", 2)}


def in_unit(text: str, spans: Sequence[Span], unit: OffsetUnit) -> Iterator[Span]:
    """Yield spans, in order and disjoint, with their code points counted in another unit."""
    if unit is OffsetUnit.CODE_POINTS or text.isascii():
        yield from spans
        return
    encoding, unit_bytes = _UNITS[unit]
    at = counted = 0
    for span in spans:
        begin = counted + len(text[at : span.begin].encode(encoding)) // unit_bytes
        counted = begin + len(text[span.begin : span.end].encode(encoding)) // unit_bytes
        at = span.end
        yield Span(begin, counted)
