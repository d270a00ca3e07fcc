"""Windows over a long text: they cover it, and the model can read each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import valence_model
from hypothesis import given, settings
from hypothesis import strategies as st
from valence_service.backends.token_reader import OffsetReader
from valence_service.core.document import Span, TextTokens, TokenReader
from valence_service.core.errors import InvalidField
from valence_service.core.text import is_blank
from valence_service.segmentation.sentences import SentenceSegmenter
from valence_service.serving.windows import WindowPlan, WindowSize, plan_windows

from tests.support.words import WordReader

MAX_TOKENS = 18
SIZE = WindowSize.for_model(MAX_TOKENS, special_tokens=2)
texts = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            [*"aé日😍.!?\n\0", "    ", "word ", "Next. ", "ﷺ", "👨\u200d👩\u200d👧", "\u200b"]
        ),
        max_size=300,
    ).map("".join),
).filter(lambda text: not is_blank(text))


def plan(text: str, reader: TokenReader | None = None) -> WindowPlan:
    return plan_windows(
        text,
        reader or WordReader(),
        lambda: (sentence.end for sentence in SentenceSegmenter().segment(text)),
        size=SIZE,
        field="text",
    )


def parts(text: str, made: WindowPlan) -> list[str]:
    return [text[window.begin : window.end] for window in made.windows]


@pytest.fixture(scope="module")
def wordpieces() -> OffsetReader:
    """The embedded model's own tokenizer."""
    return OffsetReader(Path(valence_model.path(), "tokenizer.json").read_text())


def test_a_text_that_fits_is_one_window() -> None:
    text = " " + "word " * (MAX_TOKENS - 2)
    assert plan(text) == WindowPlan((Span(0, len(text)),), MAX_TOKENS, 0)


def test_neighbours_overlap_by_what_the_stride_leaves_where_no_sentence_ends() -> None:
    text = " ".join(map(str, range(60)))
    windows = [list(map(int, part.split())) for part in parts(text, plan(text))]
    assert {after[0] - before[0] for before, after in pairwise(windows[:-1])} == {SIZE.stride}
    # The last one too is as long as the others.
    assert {len(words) for words in windows} == {SIZE.content}
    assert SIZE.stride < SIZE.content


def test_windows_begin_and_end_with_sentences_where_they_can() -> None:
    text = "One two three four five, then six. " * 10
    made = parts(text, plan(text))
    assert len(made) == 5
    assert all(part.startswith("One") and part.rstrip().endswith("six.") for part in made)


def test_the_tokens_of_the_whole_text_are_counted_once() -> None:
    made = plan("☀ word " * 40)
    assert len(made.windows) > 1
    assert (made.tokens_total, made.tokens_unknown) == (82, 40)


def test_a_window_that_shows_nothing_is_not_read() -> None:
    text = "bad " + "\u200b " * 100 + "good"
    made = parts(text, plan(text))
    assert len(made) == 2
    assert made[0].startswith("bad")
    assert made[1].endswith("good")


@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_windows_hold_all_that_any_text_shows_and_the_model_can_read_each(
    wordpieces: OffsetReader, text: str
) -> None:
    made = plan(text, wordpieces)
    held = bytearray(len(text))
    for window in made.windows:
        held[window.begin : window.end] = b"1" * (window.end - window.begin)
    assert is_blank(
        "".join(character for character, kept in zip(text, held, strict=True) if not kept)
    )
    assert all(a.begin < b.begin and a.end < b.end for a, b in pairwise(made.windows))
    assert max(wordpieces.count(parts(text, made))) <= MAX_TOKENS


class Spread(WordReader):
    """Counts more tokens in a part than in the whole, as some tokenizers do."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [2 * count for count in super().count(texts)]


def test_windows_that_have_more_tokens_by_themselves_are_made_shorter() -> None:
    text = "word " * 60
    assert max(Spread().count(parts(text, plan(text, Spread())))) <= MAX_TOKENS


class Heavy(WordReader):
    """Each character has more tokens than the model reads."""

    def read(self, text: str) -> TextTokens:
        spans = [(at, at + 1) for at in range(len(text)) for _ in range(MAX_TOKENS)]
        return TextTokens(spans, len(spans) + 2, 0)

    def count(self, texts: Sequence[str]) -> list[int]:
        return [self.read(text).total for text in texts]


def test_a_character_of_more_tokens_than_the_model_reads_is_refused_by_name() -> None:
    with pytest.raises(InvalidField, match="character of more tokens") as refused:
        plan("abc", Heavy())
    assert refused.value.field == "text"
