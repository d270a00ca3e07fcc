"""Which texts share a micro-batch, and what its width is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from valence_service.backends.micro_batches import micro_batches, rounded_up

if TYPE_CHECKING:
    from collections.abc import Iterator


OVERHEAD, COUNTS = 16, (1, 2, 3, 4, 6, 8, 12, 16)
# As the openvino engine has them, and as the pipeline has them.
counts = st.sampled_from([COUNTS, tuple(range(1, 61)), (1,)])


@given(
    st.lists(st.integers(min_value=1, max_value=600), max_size=60),
    counts,
    st.integers(min_value=1, max_value=2000),
)
def test_every_text_is_in_one_micro_batch_and_the_bounds_hold(
    lengths: list[int], counts: tuple[int, ...], max_tokens: int
) -> None:
    groups = list(
        micro_batches(lengths, counts=counts, max_tokens=max_tokens, overhead_tokens=OVERHEAD)
    )
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) in counts
        assert len(group) == 1 or len(group) * lengths[group[0]] <= max_tokens
    in_turn = [lengths[index] for group in groups for index in group]
    assert in_turn == sorted(lengths, reverse=True)


@given(
    st.lists(st.integers(min_value=1, max_value=99), max_size=9),
    counts,
    st.integers(min_value=1, max_value=400),
)
def test_no_other_grouping_costs_less(
    lengths: list[int], counts: tuple[int, ...], max_tokens: int
) -> None:
    def cost(groups: list[list[int]]) -> int:
        return sum(OVERHEAD + len(group) * lengths[group[0]] for group in groups)

    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])

    def groupings(rest: list[int]) -> Iterator[list[list[int]]]:
        if not rest:
            yield []
        for count in counts:
            fits = count == 1 or (rest and count * lengths[rest[0]] <= max_tokens)
            if fits and count <= len(rest):
                for others in groupings(rest[count:]):
                    yield [rest[:count], *others]

    found = list(
        micro_batches(lengths, counts=counts, max_tokens=max_tokens, overhead_tokens=OVERHEAD)
    )
    assert cost(found) == min(cost(groups) for groups in groupings(order))


def test_like_lengths_go_together_and_few_texts_beside_longer_ones() -> None:
    def sizes(lengths: list[int]) -> list[int]:
        groups = micro_batches(lengths, counts=COUNTS, max_tokens=999, overhead_tokens=OVERHEAD)
        return [len(group) for group in groups]

    assert sizes([24] * 8) == [8]
    assert sizes([200] * 2 + [24] * 4) == [2, 4]
    assert sizes([32] + [24] * 2) == [3]  # 16 tokens of padding cost no more than a micro-batch


def test_long_texts_share_the_memory_of_attention() -> None:
    def sizes(length: int) -> list[int]:
        groups = micro_batches(
            [length] * 6, counts=(1, 2, 3, 4), max_tokens=1 << 20, overhead_tokens=OVERHEAD
        )
        return [len(group) for group in groups]

    assert sizes(1024) == [4, 2]
    assert sizes(1448) == [2, 2, 2]  # of 2,048² scores together
    assert sizes(2048) == sizes(8192) == [1] * 6


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
