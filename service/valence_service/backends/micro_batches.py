"""Which texts of a batch share a pass, and what its texts are filled up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def passes(
    lengths: Sequence[int], *, counts: Sequence[int], max_tokens: int, overhead_tokens: int
) -> Iterator[list[int]]:
    """Indices into lengths (tokens of each text), in groups to compute together, longest first.

    A group has one of counts (rising, 1 the first of them) of texts, and max_tokens tokens at most,
    padding included; a text above that goes alone. Of all such groupings it is the one that costs
    least, where a pass costs its tokens, padding included, and overhead_tokens more.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    # What the texts from the nth on cost, and how many of them go first: found from the end.
    least = [0] * (len(order) + 1)
    first = [0] * len(order)
    for start in reversed(range(len(order))):
        longest = lengths[order[start]]
        for count in counts:
            end = start + count
            if end > len(order) or (count > 1 and count * longest > max_tokens):
                break
            cost = overhead_tokens + count * longest + least[end]
            if count == 1 or cost <= least[start]:
                least[start], first[start] = cost, count
    start = 0
    while start < len(order):
        yield order[start : start + first[start]]
        start += first[start]


def rounded_up(number: int, *, least: int = 1) -> int:
    """The first of 1, 2, 3, 4, 6, 8, 12, 16, 24 ... that is neither below number nor least.

    Powers of two and what lies half-way between: they are few, and less than half is added.
    """
    power: int = 1 << (max(number, least) - 1).bit_length()
    between = power * 3 // 4
    return between if between >= max(number, least) else power
