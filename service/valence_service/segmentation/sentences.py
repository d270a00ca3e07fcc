"""Sentences of a text, in time linear in its length, whatever the text."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from valence_service.core.document import Span
from valence_service.core.text import is_blank
from valence_service.segmentation.emoji import with_emoji_ends
from valence_service.segmentation.splitter import sentence_ends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# The splitter holds the interpreter's lock, so it gets at most 8 kB at once: a few milliseconds.
PIECE_CHARACTERS = 2048
# What str.splitlines takes for the end of a line. Each line break ends a sentence.
_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]++")


class SentenceSegmenter:
    """Divides a text at line breaks, then by the splitter's rules, then at emoji."""

    def __init__(self, split: Callable[[str], Sequence[int]] = sentence_ends) -> None:
        self._split = split

    def segment(self, text: str) -> Iterator[Span]:
        """Yield each sentence in order; only white space lies outside of them.

        A sentence that shows nothing (zero-width characters, say) joins the one before it, or at
        the beginning the one after it: no model can read it alone.
        """
        held: Span | None = None
        held_blank = False
        for span in self._spans(text):
            blank = is_blank(text[span.begin : span.end])
            if held is None:
                held, held_blank = span, blank
            elif blank or held_blank:
                held, held_blank = Span(held.begin, span.end), blank and held_blank
            else:
                yield held
                held, held_blank = span, blank
        if held is not None:
            yield held

    def _spans(self, text: str) -> Iterator[Span]:
        for line in _LINE.finditer(text):
            for begin, end in self._parts(text, *line.span()):
                part = text[begin:end]
                if inner := part.strip():
                    first = begin + part.index(inner)
                    yield Span(first, first + len(inner))

    def _parts(self, text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of a line, piece by piece.

        The last part of a piece may go on in what follows, so it begins the next piece. One that
        fills a piece is divided there, between words if it has any. Each next piece so begins in
        the second half of this one at the earliest, or reads the last part once more: no character
        is read more than a few times.
        """
        while begin < end:
            last = min(begin + PIECE_CHARACTERS, end)
            piece = text[begin:last]
            ends = sorted({0, *with_emoji_ends(piece, self._split(piece)), len(piece)})
            if last < end and len(ends) > 2:  # noqa: PLR2004  a beginning and an end
                ends.pop()
            elif last < end:
                ends[-1] = piece.rfind(" ", len(piece) // 2) + 1 or len(piece)
            for part_begin, part_end in pairwise(ends):
                yield begin + part_begin, begin + part_end
            begin += ends[-1]
