"""Emoji and emoticons as ends of sentences: "Love it 😍 But the box was broken :(".

Every rule takes time linear in the text: the patterns are possessive, so they never step back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Symbols and pictographs, then what joins or varies them: joiners, selectors, keycaps and tags.
_EMOJI = (
    "[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
    "[\u200d\ufe0e\ufe0f\u20e3\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
    "\U000e0020-\U000e007f]*+"
)
# Eyes, perhaps a nose, a mouth; hearts; faces of the other way of writing.
_EMOTICON = r"(?<!\S)(?:[:;=8xX]'?[-^o]?[()\[\]DPp|/\\*3]++|<3++|\^_?\^|-_+-|[TQ]_+[TQ])(?!\S)"
_SIGN = f"(?:{_EMOJI}|{_EMOTICON})"
_SIGNS = re.compile(rf"{_SIGN}(?:[ \t]*+{_SIGN})*+")
_SPACE = re.compile(r"\s*+")


def with_emoji_ends(piece: str, ends: Sequence[int]) -> Iterator[int]:
    """Yield the ends of sentences in order, those that emoji and emoticons make included.

    1. Signs that begin a sentence belong to the one before: "Great! 😍" is one sentence.
    2. Signs before a capital letter end a sentence: "Love it 😍 But it broke".
    """
    signs = {match.start(): match.end() for match in _SIGNS.finditer(piece)}
    moved = {_after_signs(piece, end, signs) for end in ends}
    for begin, end in signs.items():
        after = _skip_space(piece, end)
        if begin and after > end and piece[after : after + 1].isupper():
            moved.add(end)
    yield from sorted(moved)


def _after_signs(piece: str, end: int, signs: dict[int, int]) -> int:
    """Return where a sentence ends once the signs that follow it belong to it."""
    return signs.get(_skip_space(piece, end), end)


def _skip_space(piece: str, at: int) -> int:
    match = _SPACE.match(piece, at)
    return match.end() if match else at
