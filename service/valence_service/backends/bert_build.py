"""Build a BERT family's classifier for OpenVINO from its folder: no torch, no tracing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from valence_service.backends.artifact import InputSpec, ModelArtifact
from valence_service.backends.bert_config import encoder_of
from valence_service.backends.bert_family import CannotBuild
from valence_service.backends.bert_graph import build
from valence_service.backends.exits import read_heads
from valence_service.backends.integrity import read_json, weights_of
from valence_service.backends.source import ModelUnusable, check_vocabulary, least_limit
from valence_service.backends.weights import read_safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from valence_service.backends.bert_family import Encoder
    from valence_service.backends.source import ModelFolder

TOKENIZER = "tokenizer.json"
# Settings of tokenizer_config.json by what tokenizer.json calls them, with their defaults.
_BERT_NORMALIZER = {
    "lowercase": ("do_lower_case", True),
    "strip_accents": ("strip_accents", None),
    "handle_chinese_chars": ("tokenize_chinese_chars", True),
}
_BYTE_LEVEL = {"add_prefix_space": ("add_prefix_space", False)}
# Transformers makes these from tokenizer.json as it is.
_GENERIC_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")


def can_build(folder: ModelFolder) -> bool:
    """Return whether build_artifact builds the folder's model."""
    try:
        _read(folder)
    except CannotBuild:
        return False
    return True


def build_artifact(folder: ModelFolder, exits: tuple[int, ...] = ()) -> ModelArtifact:
    """Return the folder's model with the exits after these layers.

    Raise CannotBuild, or ModelUnusable where it is broken.
    """
    encoder, weights = _read(folder)
    path = folder.path / TOKENIZER
    content = path.read_text(encoding="utf-8")
    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # tokenizers raises plain Exception
        raise CannotBuild(f"{path} is no tokenizer of this library: {error}") from error
    check_vocabulary(tokenizer.get_vocab_size(with_added_tokens=False), folder)
    if any(tokenizer.encode("One text.").type_ids):
        raise CannotBuild("its tokenizer gives tokens another type than 0")
    # Padding is masked, on whichever side it is: on the right no token's position depends on it.
    limits = (encoder.max_tokens, folder.tokenizer_config.get("model_max_length"))
    spec = InputSpec(max_tokens=least_limit(limits), pad_id=encoder.pad_id, pad_left=False)
    heads = read_heads(folder, exits) if exits else {}
    encoder.check_exits(heads, exits)
    return ModelArtifact(build(encoder, weights, heads), content, spec, exits)


def _read(folder: ModelFolder) -> tuple[Encoder, Mapping[str, np.ndarray]]:
    encoder = encoder_of(folder.config, labels=len(folder.label_names))
    files = weights_of(folder.path)
    if any(path.suffix != ".safetensors" for path in files):
        raise CannotBuild("its weights are no safetensors")
    weights = read_safetensors(files)
    encoder.check(weights)
    _check_tokenizer(folder)
    return encoder, weights


def _check_tokenizer(folder: ModelFolder) -> None:
    """Raise CannotBuild where transformers would not tokenize as tokenizer.json does."""
    path = folder.path / TOKENIZER
    if not path.exists():
        raise CannotBuild(f"it has no {TOKENIZER}")
    try:
        content = read_json(path)
    except ModelUnusable as error:
        raise CannotBuild(str(error)) from error
    settings = folder.tokenizer_config
    if settings.get("tokenizer_class") not in _GENERIC_TOKENIZERS:
        _compare(content.get("normalizer"), "BertNormalizer", _BERT_NORMALIZER, settings)
        _compare(content.get("pre_tokenizer"), "ByteLevel", _BYTE_LEVEL, settings)
    added = {token.get("content") for token in content.get("added_tokens", ())}
    for token in settings.get("added_tokens_decoder", {}).values():
        if token.get("content") not in added:
            raise CannotBuild(f"{TOKENIZER} lacks the added token {json.dumps(token)}")


def _compare(
    part: Any, kind: str, names: Mapping[str, tuple[str, object]], settings: Mapping[str, Any]
) -> None:
    if not isinstance(part, dict) or part.get("type") != kind:
        return
    for name, (called, default) in names.items():
        if part.get(name) != settings.get(called, default):
            raise CannotBuild(f"{TOKENIZER} and tokenizer_config.json differ in {called}")
