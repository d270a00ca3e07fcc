"""The sentence splitter: the only module that imports sentencex."""

from __future__ import annotations

import sentencex

# Its rules for English know abbreviations, numbers and quotes, and the full stops of most scripts.
_LANGUAGE = "en"


def sentence_ends(piece: str) -> list[int]:
    """Return the code points at which the sentences of a piece of text end.

    sentencex holds the interpreter's lock meanwhile, so a piece must be short.
    """
    return [
        boundary["end_index"] for boundary in sentencex.get_sentence_boundaries(_LANGUAGE, piece)
    ]
