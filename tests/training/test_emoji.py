"""Emoji have tokens in every runtime, and their vectors begin from their names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
import valence_model
from tokenizers import Tokenizer

from training import emoji
from training.base import read_tokenizer


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    return read_tokenizer(Path(valence_model.path()))


@pytest.fixture(scope="module")
def extended(plain: Tokenizer) -> Tokenizer:
    return emoji.add_tokens(plain)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("good😀", ["good", "😀"]),
        ("I ❤️ it", ["i", "❤", "it"]),
        ("👍🏽", ["👍", "🏽"]),
        ("🤷‍♂️ ok", ["🤷", "♂", "ok"]),
        ("😡😡", ["😡", "😡"]),
    ],
)
def test_an_emoji_is_a_token_wherever_it_stands(
    extended: Tokenizer, text: str, tokens: list[str]
) -> None:
    assert extended.encode(text, add_special_tokens=False).tokens == tokens


def test_other_words_and_the_size_of_the_vocabulary_stay(
    plain: Tokenizer, extended: Tokenizer
) -> None:
    text = "It isn't bad: 5 stars :)"
    assert extended.encode(text).ids == plain.encode(text).ids
    assert extended.get_vocab_size() == plain.get_vocab_size()
    assert len(emoji.tokens()) >= 200


def test_transformers_reads_the_tokens(extended: Tokenizer, tmp_path: Path) -> None:
    extended.save(str(tmp_path / "tokenizer.json"))
    settings = Path(valence_model.path()) / "tokenizer_config.json"
    (tmp_path / "tokenizer_config.json").write_text(settings.read_text())
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    text = "so good😀 I ❤️ it 👍🏽"

    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(text)["input_ids"] == extended.encode(text).ids


def test_a_vector_begins_as_the_mean_of_its_name(plain: Tokenizer, extended: Tokenizer) -> None:
    table = torch.randn(plain.get_vocab_size(), 4)
    fire = [plain.token_to_id(word) for word in ("party", "pop", "##per")]
    expected = table[fire].mean(dim=0)

    emoji.begin_vectors(table, plain, extended)
    assert torch.equal(table[extended.token_to_id("🎉")], expected)
