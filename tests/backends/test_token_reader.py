"""Where tokens stand, by tokenizers of several kinds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from valence_service.backends.token_reader import OffsetReader
from valence_service.core.text import is_blank
from valence_service.segmentation.sentences import SentenceSegmenter
from valence_service.serving.windows import WindowSize, plan_windows

from tests.support.loading import load_replicas, model_source

CORPUS = ["the room was lovely and the food was cold", "never again, we will be back"] * 20
MAX_TOKENS = 18


def byte_level() -> Tokenizer:
    """Of bytes, as GPT's and RoBERTa's: an emoji is several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tokenizer


def sentence_piece() -> Tokenizer:
    """Of pieces that carry the space before a word, as XLM-RoBERTa's."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=80, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


READERS = {
    "bytes": OffsetReader(byte_level().to_str()),
    "pieces": OffsetReader(sentence_piece().to_str()),
}
texts = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from([*"aé日😍. \n", "    ", "lovely ", "Again. ", "👨\u200d👩\u200d👧"]),
        max_size=120,
    ).map("".join),
).filter(lambda text: not is_blank(text))


@pytest.mark.parametrize("kind", READERS)
def test_the_tokens_of_a_text_are_counted_whole(kind: str) -> None:
    reader = READERS[kind]
    text = "the room 😍 " * 200
    tokens = reader.read(text)
    (count,) = reader.count([text])
    assert tokens.total == count
    assert len(tokens.spans) == count - reader.count([""])[0]
    assert all(0 <= begin <= end <= len(text) for begin, end in tokens.spans)
    assert (tokens.unknown > 0) == (kind == "pieces")


@pytest.mark.parametrize("kind", READERS)
@given(text=texts)
@settings(max_examples=40, deadline=None)
def test_the_model_can_read_each_window_whatever_the_tokenizer(kind: str, text: str) -> None:
    reader = READERS[kind]
    size = WindowSize.for_model(MAX_TOKENS, reader.count([""])[0])
    ends = [sentence.end for sentence in SentenceSegmenter().segment(text)]
    made = plan_windows(text, reader, lambda: ends, size=size, field="text")
    held = bytearray(len(text))
    for window in made.windows:
        held[window.begin : window.end] = b"1" * (window.end - window.begin)
    left = [character for character, kept in zip(text, held, strict=True) if not kept]
    assert is_blank("".join(left))
    parts = [text[window.begin : window.end] for window in made.windows]
    assert max(reader.count(parts)) <= MAX_TOKENS


@pytest.mark.parametrize("engine", ["openvino", "pipeline"])
def test_a_loaded_model_has_a_reader_that_counts_as_it_does(engine: str, two_labels: str) -> None:
    model = load_replicas(model_source(two_labels, engine=engine), 1, max_micro_batch_tokens=4096)
    assert model.reader is not None
    text = "a good film " * 40
    (answer,) = model.classifiers[0].classify([text])
    assert model.reader.read(text).total == answer.tokens_total


def test_a_tokenizer_without_offsets_has_no_reader() -> None:
    assert OffsetReader.of_transformers(SimpleNamespace(is_fast=False)) is None
