"""Overlapping windows over a text of more tokens than the model reads.

A window is a part of the text that the model reads by itself, so a tokenizer may count its tokens
otherwise than within the text. Each is counted anew, and none has more tokens than the model reads.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from valence_service.core.document import Span
from valence_service.core.errors import InvalidField
from valence_service.core.text import is_blank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from valence_service.core.document import TextTokens, TokenReader

# A part may have a few tokens more by itself than within the text: it is that much shorter.
SLACK_SHARE = 32
# Neighbours share an eighth of a window, unless a sentence begins there.
OVERLAP_SHARE = 8
# A window ends at the last end of a sentence in its last quarter, if there is one.
END_SHARE = 4


@dataclass(frozen=True, slots=True)
class WindowSize:
    """How long windows are, and how far apart they begin."""

    max_tokens: int
    """The most tokens of a window, special tokens included: what the model reads."""
    content: int
    """The most tokens that the tokenizer counts in it within the text."""

    @classmethod
    def for_model(cls, max_tokens: int, special_tokens: int) -> WindowSize:
        """Return the size for a model that reads so many tokens, so many special ones included."""
        return cls(max_tokens, max_tokens - special_tokens - max_tokens // SLACK_SHARE)

    @property
    def stride(self) -> int:
        """Tokens between the beginnings of two windows where no sentence begins or ends nearby."""
        return self.content - self.content // OVERLAP_SHARE

    def shorter(self) -> WindowSize:
        """Return half of it."""
        return WindowSize(self.max_tokens, self.content // 2)


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The windows of a text, and what its tokenizer counts in the whole of it."""

    windows: Sequence[Span]
    tokens_total: int
    tokens_unknown: int


def plan_windows(
    text: str,
    reader: TokenReader,
    sentence_ends: Callable[[], Iterable[int]],
    *,
    size: WindowSize,
    field: str,
) -> WindowPlan:
    """Return the windows of a text: one if it fits, else several that hold all that it shows.

    The text shows something. Raise InvalidField, naming the field, if the windows cannot be short
    enough.
    """
    tokens = reader.read(text)
    if tokens.total <= size.max_tokens:
        return WindowPlan((Span(0, len(text)),), tokens.total, tokens.unknown)
    ends = list(sentence_ends())
    while size.content > 0:
        # The answer to a window that shows nothing would be noise.
        windows = [w for w in _windows(text, tokens, ends, size) if not is_blank(_part(text, w))]
        if max(reader.count([_part(text, w) for w in windows])) <= size.max_tokens:
            return WindowPlan(windows, tokens.total, tokens.unknown)
        size = size.shorter()
    raise InvalidField(
        field, f"has a character of more tokens than the model reads ({size.max_tokens})"
    )


def _part(text: str, span: Span) -> str:
    return text[span.begin : span.end]


def _windows(
    text: str, tokens: TextTokens, sentence_ends: Sequence[int], size: WindowSize
) -> Iterator[Span]:
    """Yield windows by the tokens that the tokenizer counts within the text."""
    starts = list(accumulate((begin for begin, _ in tokens.spans), max))
    ends = sorted({bisect_left(starts, end) for end in sentence_ends})
    count, first, begin = len(starts), 0, 0
    while first + size.content < count:
        last = first + size.content
        near = bisect_right(ends, last) - 1
        if near >= 0 and ends[near] > last - size.content // END_SHARE:
            last = ends[near]
        while last < count and starts[last] <= begin:  # a character of more tokens than a window
            last += 1
        if last == count:
            break
        yield Span(begin, starts[last])
        # The last window is as long as the others: the end of a text often says the most.
        overlap = size.content - size.stride
        least = min(last - overlap, count - size.content)
        least = bisect_right(starts, begin, lo=max(first, least), hi=last)
        first = _next_first(text, starts, ends, least=least, last=last)
        begin = starts[first]
    yield Span(begin, len(text))


def _next_first(
    text: str, starts: Sequence[int], ends: Sequence[int], *, least: int, last: int
) -> int:
    """Return the first token of the next window: of a sentence, else of a word."""
    sentence = bisect_left(ends, least)
    if sentence < len(ends) and ends[sentence] <= last:
        return ends[sentence]
    words = (token for token in range(least, last) if text[starts[token] - 1].isspace())
    return next(words, least)
