"""Which texts share a pass, and what it is filled up to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from valence_service.models.passes import LIKE_LENGTH, passes, rounded_up


@given(
    st.lists(st.integers(min_value=1, max_value=600), max_size=60),
    st.integers(min_value=1, max_value=20),
    st.integers(min_value=1, max_value=2000),
)
def test_every_text_is_in_one_pass_and_the_bounds_hold(
    lengths: list[int], max_texts: int, max_tokens: int
) -> None:
    groups = list(passes(lengths, max_texts=max_texts, max_tokens=max_tokens))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[index] for index in group)
        assert len(group) <= max_texts
        assert len(group) == 1 or len(group) * longest <= max_tokens
        assert min(lengths[index] for index in group) >= LIKE_LENGTH * longest or len(group) == 1


@given(st.integers(min_value=1, max_value=100_000), st.integers(min_value=1, max_value=64))
def test_rounding_up_adds_less_than_half(number: int, least: int) -> None:
    rounded = rounded_up(number, least=least)
    assert rounded >= max(number, least)
    assert rounded < max(number, least) * 3 / 2
    assert rounded_up(rounded, least=least) == rounded


def test_there_are_few_shapes() -> None:
    assert [rounded_up(number) for number in range(1, 10)] == [1, 2, 3, 4, 6, 6, 8, 8, 12]
    lengths = {rounded_up(number, least=16) for number in range(1, 513)}
    assert sorted(lengths) == [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
