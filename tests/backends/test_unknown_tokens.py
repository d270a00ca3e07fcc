"""Tokens that a model has no word for are counted among those that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from valence_service.backends.unknown_tokens import UnknownTokens

from tests.support.loading import load

if TYPE_CHECKING:
    from valence_service.core.classifier import Classifier

SPECIAL = {"<unk>": 0, "<s>": 1}
BYTES = {f"<0x{byte:02X}>": byte + 2 for byte in range(256)}
PIECES = [("<unk>", 0.0), ("<s>", 0.0), ("good", -1.0), ("a", -2.0), ("b", -2.0)]


@pytest.mark.parametrize("engine", ["pipeline", "openvino"])
def test_both_engines_count_unknown_tokens(two_labels: str, engine: str) -> None:
    classifier: Classifier = load(two_labels, engine=engine)
    known, emoji, script, long, late = classifier.classify(
        ["good film", "good 😡 👎", "很糟糕", "👎 " * 99, "good " * 70 + "👎"]
    )
    assert [s.tokens_unknown for s in (known, emoji, script)] == [0, 2, 3]
    # Two of those that are read are special tokens.
    assert (long.tokens_used, long.tokens_unknown) == (64, 62)
    assert (late.tokens_used, late.tokens_unknown) == (64, 0)


@pytest.mark.parametrize(("text", "unknown"), [("😡", 1), ("👎", 1), ("很糟糕", 3), ("Fine.", 0)])
def test_the_embedded_model_says_what_it_does_not_know(text: str, unknown: int) -> None:
    (sentiment,) = load(None, engine="openvino", precision="int8").classify([text])
    assert sentiment.tokens_unknown == unknown


def byte_level() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = SPECIAL | {letter: index + 2 for index, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def ends_with_the_unknown_token() -> Tokenizer:
    """As CLIP's does."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "good": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <unk>", special_tokens=[("<unk>", 0)]
    )
    return tokenizer


TOKENIZERS = {
    "unigram": Tokenizer(models.Unigram(PIECES, unk_id=0)),
    "word level": ends_with_the_unknown_token(),
    "BPE": Tokenizer(models.BPE(SPECIAL | {"g": 2, "o": 3, "d": 4}, [], unk_token="<unk>")),
    "BPE without": Tokenizer(models.BPE({"g": 0, "o": 1, "d": 2}, [])),
    "byte fallback": Tokenizer(
        models.BPE(SPECIAL | BYTES, [], unk_token="<unk>", byte_fallback=True)
    ),
    "byte level": byte_level(),
}


@pytest.mark.parametrize(
    ("kind", "unknown"),
    [
        *(("unigram", 1), ("word level", 1), ("BPE", 1)),
        *(("BPE without", 0), ("byte fallback", 0), ("byte level", 0)),
    ],
)
def test_each_kind_of_vocabulary(kind: str, unknown: int) -> None:
    tokenizer = TOKENIZERS[kind]
    counter = UnknownTokens.of(tokenizer)
    assert counter.count(tokenizer.encode("good").ids) == 0
    assert counter.count(tokenizer.encode("👎").ids) == unknown
    assert counter.count(tokenizer.encode("").ids) == 0


class Slow:
    """A tokenizer in Python, of words, which ends each text with its unknown token."""

    is_fast = False
    unk_token_id = 7

    def __call__(self, text: str) -> dict[str, Any]:
        return {"input_ids": [1 if word == "good" else 7 for word in [*text.split(), "END"]]}


def test_a_tokenizer_in_python() -> None:
    counter = UnknownTokens.of_transformers(Slow())
    assert [counter.count(Slow()(text)["input_ids"]) for text in ("good", "good x y")] == [0, 2]
