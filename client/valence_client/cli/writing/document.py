"""Write a document: lines for a pipe, colours for a terminal, a page for a browser."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from valence_client.cli.reading.row import Row
from valence_client.cli.writing.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from valence_client.results import Document, Sentence, Sentiment

_COLOURS = {"positive": "\x1b[32m", "negative": "\x1b[31m"}
_PLAIN = "\x1b[0m"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 45rem; margin: 2rem auto; color: #222; }}
article {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
mark {{ color: inherit; border-radius: 0.2em; }}
</style>
<p>{summary}</p>
<article>{text}</article>
</html>"""


def lines(document: Document) -> bytes:
    """Return a line for the whole, then one for each sentence."""
    table = Table()
    return b"".join(
        [
            table.record(_row(summary(document)), document.sentiment),
            *(table.record(_row(each.text), each.sentiment) for each in document.sentences),
        ]
    )


def coloured(document: Document, text: str, *, encoding: str) -> bytes:
    """Return a line for the whole, then the text with the sentences in colour."""
    head = Table(encoding=encoding, coloured=True).record(
        _row(summary(document)), document.sentiment
    )

    def paint(sentence: Sentence) -> str:
        colour = _COLOURS.get(sentence.sentiment.polarity, "")
        # A pager shows each line by itself.
        painted = [
            f"{colour}{line}{_PLAIN}" if colour and line else line
            for line in _printable(sentence.text).split("\n")
        ]
        return "\n".join(painted)

    body = "".join(_in_place(document, text, between=_printable, of=paint)).rstrip("\n")
    return head + f"\n{body}\n".encode(encoding, errors="backslashreplace")


def html_page(document: Document, text: str, *, title: str) -> bytes:
    """Return a page of its own: hovering over a sentence shows its label and score."""

    def mark(sentence: Sentence) -> str:
        return (
            f'<mark title="{escape(_said(sentence.sentiment))}" '
            f'style="background: {_background(sentence.sentiment)}">{escape(sentence.text)}</mark>'
        )

    page = _PAGE.format(
        title=escape(title),
        summary=escape(f"{_said(document.sentiment)}: {summary(document)}"),
        text="".join(_in_place(document, text, between=escape, of=mark)),
    )
    return f"{page}\n".encode()


def summary(document: Document) -> str:
    """Return what a line says of the whole."""
    count = len(document.sentences)
    facts = ["the whole text", f"{count} sentence{'s' * (count != 1)}"]
    if document.windows > 1:
        facts.append(f"read in {document.windows} windows")
    if document.mixed is not None:
        facts.append(f"mixed {document.mixed:.2f}")
    return ", ".join(facts)


def _in_place(
    document: Document, text: str, *, between: Callable[[str], str], of: Callable[[Sentence], str]
) -> Iterator[str]:
    """Yield the whole text, the sentences as ``of`` makes them."""
    at = 0
    for sentence in document.sentences:
        yield between(text[at : sentence.begin])
        yield of(sentence)
        at = sentence.end
    yield between(text[at:])


def _row(text: str) -> Row:
    return Row(number=0, position=0, columns={}, text=text)


def _said(sentiment: Sentiment) -> str:
    return f"{sentiment.label} {sentiment.score:.2f}"


def _background(sentiment: Sentiment) -> str:
    """Return a colour: green is positive, red negative, the stronger the surer."""
    valence = sentiment.valence or 0.0
    hue = 140 if valence > 0 else 0
    return f"hsl({hue} 70% 50% / {abs(valence) * 0.45:.2f})"


def _printable(text: str) -> str:
    """Return the text without the control characters of terminals, its line ends as newlines."""
    return "\n".join(
        "".join(c if c.isprintable() or c == "\t" else " " for c in line)
        for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    )
