"""How many tokens a model reads: what configurations say where there is no limit."""

from __future__ import annotations

import pytest
from valence_service.backends.source import MAX_TOKENS_WITHOUT_LIMIT, least_limit, max_positions


@pytest.mark.parametrize(
    "none",
    [None, 0, -1, -1.0, 1e30, 1000000000000000019884624838656, float("inf"), float("nan"), "512"],
)
def test_a_number_that_stands_for_no_limit_is_none(none: object) -> None:
    assert least_limit((none, 77)) == 77
    assert least_limit((none,)) == MAX_TOKENS_WITHOUT_LIMIT


def test_the_least_limit_counts() -> None:
    assert least_limit((512.0, 64, 77)) == 64


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"max_position_embeddings": 514}, 512),
        ({"n_positions": 66}, 64),  # GPT-2
        ({"max_seq_len": 66, "n_positions": None}, 64),  # MPT
        ({"max_position_embeddings": -1}, None),  # XLNet
        ({"max_position_embeddings": None}, None),
        ({"max_position_embeddings": "514"}, None),
        ({"n_embd": 4}, None),  # T5, BLOOM
    ],
)
def test_positions_have_several_names(config: dict[str, object], limit: int | None) -> None:
    assert max_positions(config, unused=2) == limit
