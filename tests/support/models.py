"""Small models made on the spot: random weights, ordinary Hugging Face folders.

torch and transformers are imported late: tests that need no model start seconds sooner.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["the", "film", "food", "service", "was", "not", "very", "good", "bad", "great", "loved"]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [
    *SPECIALS,
    *WORDS,
    *string.ascii_lowercase,
    *("##" + letter for letter in string.ascii_lowercase),
    *".,!?'",
]

TEXTS = (
    "The film was great.",
    "it was not very good, it was awful",
    "bad",
    "I loved the food and I hated the service! " * 6,
    "fine?",
    "überraschend gut 食べ物 \u200b 👍",
)


def make_tokenizer(
    folder: Path, *, model_max_length: int = 64, padding_side: str = "right"
) -> None:
    """A word-piece tokenizer of a few words and every letter."""
    import transformers

    tokenizer = Tokenizer(
        models.WordPiece({word: index for index, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=model_max_length,
        padding_side=padding_side,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)


def make_model(folder: Path, labels: list[str], *, problem_type: str | None = None) -> str:
    """A two-layer BERT classifier whose random head has an opinion; returns its folder."""
    import torch
    import transformers

    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type=problem_type,
        initializer_range=0.4,  # so that scores differ between texts
    )
    return _save(transformers.BertForSequenceClassification(config), folder)


def make_offset_model(folder: Path) -> str:
    """A RoBERTa: its positions begin after the padding id, so it reads fewer than it has."""
    import torch
    import transformers

    torch.manual_seed(7)
    config = transformers.RobertaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=34,
        pad_token_id=0,
        num_labels=2,
        id2label={0: "neg", 1: "pos"},
        label2id={"neg": 0, "pos": 1},
        initializer_range=0.4,
    )
    return _save(transformers.RobertaForSequenceClassification(config), folder)


def make_traced_model(folder: Path) -> str:
    """An ALBERT: it is not of the BERT family, so torch traces it."""
    import torch
    import transformers

    torch.manual_seed(7)
    config = transformers.AlbertConfig(
        vocab_size=len(VOCABULARY),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=2,
        id2label={0: "NEGATIVE", 1: "POSITIVE"},
        label2id={"NEGATIVE": 0, "POSITIVE": 1},
        initializer_range=0.4,
    )
    return _save(transformers.AlbertForSequenceClassification(config), folder)


def make_unpaddable_model(folder: Path, pad_token_id: int | None = None) -> str:
    """A GPT-2 whose configuration names no padding token: one text a micro-batch."""
    import torch
    import transformers

    torch.manual_seed(7)
    config = transformers.GPT2Config(
        vocab_size=len(VOCABULARY),
        n_embd=32,
        n_layer=1,
        n_head=4,
        n_positions=64,
        pad_token_id=pad_token_id,
        num_labels=2,
        id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
        initializer_range=0.4,
    )
    return _save(transformers.GPT2ForSequenceClassification(config), folder)


def make_unlimited_model(folder: Path) -> str:
    """An XLNet: its configuration says that it has -1 positions, for any number."""
    import torch
    import transformers

    torch.manual_seed(7)
    config = transformers.XLNetConfig(
        vocab_size=len(VOCABULARY),
        d_model=32,
        n_layer=1,
        n_head=4,
        d_inner=64,
        pad_token_id=0,
        num_labels=2,
        id2label={0: "neg", 1: "pos"},
        initializer_range=0.4,
    )
    return _save(transformers.XLNetForSequenceClassification(config), folder, 10**30)


def make_headless_model(folder: Path) -> str:
    """A BERT without a classification head."""
    import transformers

    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
    )
    return _save(transformers.BertModel(config), folder)


def _save(model: Any, folder: Path, model_max_length: int = 64) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    make_tokenizer(folder, model_max_length=model_max_length)
    return str(folder)
