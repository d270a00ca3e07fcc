"""Split a batch into micro-batches, and round their widths up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The most texts x tokens² of a micro-batch of several texts: each head of a layer holds so many
# scores of attention. A text of more than 2,048 tokens goes alone, and --max-text-tokens bounds it.
MAX_ATTENTION = 2048 * 2048


def micro_batches(
    lengths: Sequence[int], *, counts: Sequence[int], max_tokens: int, overhead_tokens: int
) -> Iterator[list[int]]:
    """Yield the micro-batches of a batch, each as indices into lengths, longest text first.

    ``lengths`` are the tokens of each text. A micro-batch has as many texts as one of ``counts``
    says (rising from 1) and at most max_tokens tokens, padding included; a longer text goes alone.
    MAX_ATTENTION bounds it too: the memory for attention grows with the square of the tokens.
    A micro-batch costs its tokens, padding included, and overhead_tokens; the split is the
    cheapest.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    # From the end backwards: the least cost of the texts from the nth on, and how many of them
    # the first micro-batch takes for it.
    least = [0] * (len(order) + 1)
    first = [0] * len(order)
    for start in reversed(range(len(order))):
        longest = lengths[order[start]]
        for count in counts:
            end = start + count
            most_tokens = min(max_tokens, MAX_ATTENTION // longest)
            if end > len(order) or (count > 1 and count * longest > most_tokens):
                break
            cost = overhead_tokens + count * longest + least[end]
            if count == 1 or cost <= least[start]:
                least[start], first[start] = cost, count
    start = 0
    while start < len(order):
        yield order[start : start + first[start]]
        start += first[start]


def rounded_up(number: int, *, least: int = 1) -> int:
    """Return the first of 1, 2, 3, 4, 6, 8, 12, 16, 24 ... that is at least number and least.

    These are the powers of two and the halfway points: they are few, and add less than half.
    """
    power: int = 1 << (max(number, least) - 1).bit_length()
    between = power * 3 // 4
    return between if between >= max(number, least) else power
