"""Sentences: where they end, what lies between them, and what hostile texts cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valence_service.core.text import is_blank
from valence_service.segmentation.sentences import PIECE_CHARACTERS, SentenceSegmenter
from valence_service.segmentation.splitter import sentence_ends

# What sentences are made of, and what breaks segmenters.
BITS = (
    *("a", "B", "word", "Mr. ", "3.5", "e.g. ", ". ", "! ", "?", "...", "。", '"', "(", ")"),
    *(" ", "\n", "\r\n", "\r", "\u2028", "\t", "\0", "\u200b", "\u200f", "\ufeff", "\u3164"),
    *("😍", "❤️", "👨\u200d👩\u200d👧", "🇫🇷", "é", "e\u0301", "日本語", " :) ", " :-( ", " <3 "),
)
HOSTILE = {
    "dots": ".",
    "line breaks": "\r\n",
    "letters without a space": "a",
    "joined emoji": "👨\u200d👩\u200d👧\u200d👦",
    "emoji and capitals": "😍 A",
    "right-to-left marks": "\u200fא. ",
    "short sentences": "a! ",
    "quotes": '"(',
    "abbreviations": "Mr. ",
    "emoticons": ":) ",
    "mouths": ":(((((((( ",
    "spaces": " ",
    "lines that show nothing": "\u200b\n",
    "a short sentence, then none": f"a. {'b' * 3000}",
}

texts = st.one_of(st.text(), st.lists(st.sampled_from(BITS), max_size=60).map("".join))


def sentences(text: str) -> list[str]:
    return [text[span.begin : span.end] for span in SentenceSegmenter().segment(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. Smith paid $3.50. He left.", ["Mr. Smith paid $3.50.", "He left."]),
        ("One line\nand the next\r\n\r\nlast", ["One line", "and the next", "last"]),
        ('"Never," he said. (It was so.)', ['"Never," he said.', "(It was so.)"]),
        ("良い。悪い。", ["良い。", "悪い。"]),
        ("Great! 😍 So happy.", ["Great! 😍", "So happy."]),
        (
            "Love it 😍❤️ But it broke :( Never again!",
            ["Love it 😍❤️", "But it broke :(", "Never again!"],
        ),
        ("I ❤️ it, and 😂 it shows", ["I ❤️ it, and 😂 it shows"]),
        ("fine :) and cheap", ["fine :) and cheap"]),
        ("Fine. \u200b\n\u200d\nBad.", ["Fine. \u200b\n\u200d", "Bad."]),
        ("\u200b\nFine.", ["\u200b\nFine."]),
        (" \t\r\n", []),
    ],
)
def test_sentences_end_where_people_end_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(texts)
@settings(max_examples=60, deadline=None)
def test_sentences_are_disjoint_and_in_order_with_only_white_space_between(text: str) -> None:
    spans = list(SentenceSegmenter().segment(text))
    edges = [0, *(edge for span in spans for edge in (span.begin, span.end)), len(text)]
    assert edges == sorted(edges)
    assert all(span.begin < span.end for span in spans)
    assert not any(
        text[end:begin].strip() for end, begin in zip(edges[::2], edges[1::2], strict=True)
    )
    inner = [text[span.begin : span.end] for span in spans]
    assert all(each == each.strip() for each in inner)
    if len(inner) > 1:
        assert not any(map(is_blank, inner))


def test_a_sentence_goes_on_beyond_a_piece() -> None:
    long = f"It was {'very ' * 300}good"
    text = f"{long}. {long}. {long}."
    assert len(text) > 2 * PIECE_CHARACTERS
    assert sentences(text) == [f"{long}."] * 3


def test_a_sentence_longer_than_a_piece_is_divided_between_words() -> None:
    parts = sentences("word " * PIECE_CHARACTERS)
    assert set(" ".join(parts).split()) == {"word"}
    assert max(map(len, parts)) <= PIECE_CHARACTERS


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_the_splitter_reads_hostile_texts_a_few_times_at_most_in_short_pieces(unit: str) -> None:
    pieces: list[int] = []

    def counting(piece: str) -> Sequence[int]:
        pieces.append(len(piece))
        return sentence_ends(piece)

    def read(length: int) -> int:
        pieces.clear()
        text = (unit * length)[:length]
        for _ in SentenceSegmenter(counting).segment(text):
            pass
        assert max(pieces, default=0) <= PIECE_CHARACTERS
        return sum(pieces)

    short, long = read(8_000), read(32_000)
    assert long <= 3 * 32_000
    # A constant number of pieces more would be no growth.
    assert long <= 4 * short + 4 * PIECE_CHARACTERS


def test_a_caller_that_stops_pays_for_no_more() -> None:
    read: list[int] = []

    def counting(piece: str) -> Sequence[int]:
        read.append(len(piece))
        return sentence_ends(piece)

    first = list(islice(SentenceSegmenter(counting).segment("A sentence. " * 5_000), 11))
    assert [after.begin - before.begin for before, after in pairwise(first)] == [12] * 10
    assert len(read) == 1
