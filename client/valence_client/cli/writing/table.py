"""Write a table for people: ``POSITIVE  0.97  I loved every minute of it``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valence_client.errors import ValenceError

if TYPE_CHECKING:
    from valence_client.cli.reading.row import Row
    from valence_client.results import Outcome

_COLOURS = {"positive": "\x1b[32m", "negative": "\x1b[31m"}
_ERROR_COLOUR, _PLAIN = "\x1b[33m", "\x1b[0m"


class Table:
    """A line for each row: label, score and text."""

    def __init__(self, *, encoding: str = "utf-8", coloured: bool = False) -> None:
        """Write in the encoding of the terminal, in colour if ``coloured``."""
        self._encoding = encoding
        self._coloured = coloured

    def header(self) -> bytes:
        """Return nothing: the table has no header."""
        return b""

    def record(self, row: Row, outcome: Outcome) -> bytes:
        """Return the text on one line, and how much of it was not read or not known, if much."""
        text = _one_line(row.text)
        if isinstance(outcome, ValenceError):
            label, score, colour = "ERROR", "   -", _ERROR_COLOUR
            text += f"  ({_one_line(str(outcome))})" if text else _one_line(str(outcome))
        else:
            label, score = outcome.label, f"{outcome.score:.2f}"
            colour = _COLOURS.get(outcome.polarity, "")
            if outcome.truncated:
                text += f"  (read {outcome.tokens_used} of {outcome.tokens_total} tokens)"
            # The least text of one unknown word has two special tokens beside it.
            if 0 < outcome.tokens_used <= 3 * outcome.tokens_unknown:
                text += f"  ({outcome.tokens_unknown} of {outcome.tokens_used} tokens unknown)"
        label = f"{_one_line(label):<8}"
        if self._coloured and colour:
            label = colour + label + _PLAIN
        # A text that the terminal cannot show must not fail the command.
        return f"{label}  {score}  {text}\n".encode(self._encoding, errors="backslashreplace")


def _one_line(text: str) -> str:
    """Return the text without line ends and the control characters of terminals."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
