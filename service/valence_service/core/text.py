"""Whether a text shows anything."""

from __future__ import annotations

import unicodedata

# Letters and a symbol that Unicode draws as nothing: fillers of Hangul, and Braille's blank.
_EMPTY_GLYPHS = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing that a model could read.

    White space, control and format characters (zero-width ones), and marks without a letter show
    nothing. Characters of a newer Unicode than this Python's may show something.
    """
    # The first character decides for most texts. A set makes short work of many of one kind.
    return not _shows(text[:1]) and not any(map(_shows, set(text)))


def _shows(character: str) -> bool:
    if not character or character in _EMPTY_GLYPHS:
        return False
    category = unicodedata.category(character)
    return category not in ("Cc", "Cf") and category[0] not in "ZM"
