"""What a request may choose."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Overlength(enum.Enum):
    """What to do with a text of more tokens than the model reads."""

    TRUNCATE = enum.auto()
    REJECT = enum.auto()
    WINDOWS = enum.auto()
    """Read the whole text, in overlapping windows."""


class OffsetUnit(enum.Enum):
    """What the offsets of a sentence count."""

    CODE_POINTS = enum.auto()
    UTF8_BYTES = enum.auto()
    UTF16_UNITS = enum.auto()


class Order(enum.Enum):
    """The order of a stream's answers."""

    REQUEST = enum.auto()
    """That of the requests."""
    READY = enum.auto()
    """Each as soon as it is ready."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The options of a whole stream."""

    overlength: Overlength = Overlength.TRUNCATE
    order: Order = Order.REQUEST
