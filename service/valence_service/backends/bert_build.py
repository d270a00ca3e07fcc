"""Build a BERT family's classifier for OpenVINO from its folder: no torch, no tracing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from valence_service.backends.artifact import InputSpec, ModelArtifact
from valence_service.backends.bert_config import encoder_of
from valence_service.backends.bert_family import CannotBuild
from valence_service.backends.bert_graph import build
from valence_service.backends.exits import HEADS, read_heads
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


@dataclass(frozen=True, slots=True)
class _Parts:
    """A folder's files, checked."""

    encoder: Encoder
    weights: Mapping[str, np.ndarray]
    tokenizer: str
    """The content of tokenizer.json."""
    heads: Mapping[str, np.ndarray]
    """The weights of the exits."""


def can_build(folder: ModelFolder, exits: tuple[int, ...] = ()) -> bool:
    """Return whether build_artifact builds the folder's model with these exits."""
    try:
        _read(folder, exits)
    except (CannotBuild, ModelUnusable):
        return False
    return True


def build_artifact(folder: ModelFolder, exits: tuple[int, ...] = ()) -> ModelArtifact:
    """Return the folder's model with the exits after these layers.

    Raise CannotBuild, or ModelUnusable where it is broken.
    """
    parts = _read(folder, exits)
    encoder = parts.encoder
    # Padding is masked, on whichever side it is: on the right no token's position depends on it.
    limits = (encoder.max_tokens, folder.tokenizer_config.get("model_max_length"))
    spec = InputSpec(max_tokens=least_limit(limits), pad_id=encoder.pad_id, pad_left=False)
    graph = build(encoder, parts.weights, parts.heads)
    return ModelArtifact(graph, parts.tokenizer, spec, exits)


def _read(folder: ModelFolder, exits: tuple[int, ...]) -> _Parts:
    """Read all that the model is built of. Raise CannotBuild, or ModelUnusable."""
    encoder = encoder_of(folder.config, labels=len(folder.label_names))
    files = weights_of(folder.path)
    if any(path.suffix != ".safetensors" for path in files):
        raise CannotBuild("its weights are no safetensors")
    weights = read_safetensors(files)
    encoder.check(weights)
    _check_settings(folder)
    tokenizer = _read_tokenizer(folder)
    heads = _read_heads(folder, encoder, exits) if exits else {}
    return _Parts(encoder, weights, tokenizer, heads)


def _read_tokenizer(folder: ModelFolder) -> str:
    """Return the content of tokenizer.json. Raise CannotBuild, or ModelUnusable."""
    path = folder.path / TOKENIZER
    content = path.read_text(encoding="utf-8")
    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # tokenizers raises plain Exception
        raise CannotBuild(f"{path} is no tokenizer of this library: {error}") from error
    check_vocabulary(tokenizer.get_vocab_size(with_added_tokens=False), folder)
    if any(tokenizer.encode("One text.").type_ids):
        raise CannotBuild("its tokenizer gives tokens another type than 0")
    return content


def _read_heads(
    folder: ModelFolder, encoder: Encoder, exits: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return the weights of the heads after these layers. Raise ModelUnusable."""
    heads = read_heads(folder, exits)
    try:
        encoder.check_exits(heads, exits)
    except CannotBuild as error:
        raise ModelUnusable(
            f"{folder.path / HEADS} does not fit config.json: {error}; take the file that belongs "
            "to the model, or compute every layer with --exit-confidence 1"
        ) from error
    return heads


def _check_settings(folder: ModelFolder) -> None:
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
