"""Which texts of a batch share a pass through the model, and what the pass is filled up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Below this part of the longest text's tokens, padding costs more than a pass of its own.
LIKE_LENGTH = 0.7


def passes(lengths: Sequence[int], *, max_texts: int, max_tokens: int) -> Iterator[list[int]]:
    """Indices into lengths (tokens of each text), in groups to compute together, longest first.

    A group has at most max_texts texts and max_tokens tokens, padding included; a text above that
    goes alone. Its shortest text has at least LIKE_LENGTH of its longest one's tokens.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[group[0]] if group else 0
        full = len(group) >= max_texts or (len(group) + 1) * longest > max_tokens
        if group and (full or lengths[index] < LIKE_LENGTH * longest):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def rounded_up(number: int, *, least: int = 1) -> int:
    """The first of 1, 2, 3, 4, 6, 8, 12, 16, 24 ... that is neither below number nor least.

    Powers of two and what lies half-way between: they are few, and less than half is added.
    """
    power: int = 1 << (max(number, least) - 1).bit_length()
    between = power * 3 // 4
    return between if between >= max(number, least) else power
