"""Read the configuration of a classifier of the BERT family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from valence_service.backends.bert_family import FAMILIES, CannotBuild, Encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from valence_service.backends.bert_family import Family

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish")
# Settings that change the computation, with the values that leave it as it is here.
_PLAIN: dict[str, tuple[object, ...]] = {
    "position_embedding_type": (None, "absolute"),
    "is_decoder": (None, False),
    "add_cross_attention": (None, False),
    "pruned_heads": (None, {}),
    "quantization_config": (None, {}),
    "auto_map": (None, {}),
}


def encoder_of(config: Mapping[str, Any], *, labels: int) -> Encoder:
    """Return the classifier that a configuration describes. Raise CannotBuild."""
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise CannotBuild(f"model_type {kind} is not of the BERT family")
    architecture, family = FAMILIES[kind]
    if config.get("architectures") not in (None, [architecture]):
        raise CannotBuild(f"architectures is {config['architectures']}, not [{architecture!r}]")
    for name, values in _PLAIN.items():
        if config.get(name) not in values:
            raise CannotBuild(f"{name} is {config[name]!r}")
    numbers = _Settings(config, family.settings)
    width = numbers.count("hidden_size", 256 if family.projected else 768)
    encoder = Encoder(
        family=family,
        layers=numbers.count("num_hidden_layers", 6 if family.settings else 12),
        heads=numbers.count("num_attention_heads", family.heads_default),
        width=width,
        inner_width=numbers.count("intermediate_size", 1024 if family.projected else 3072),
        embedding_width=numbers.count("embedding_size", 128) if family.projected else width,
        words=numbers.count("vocab_size", 0),
        positions=numbers.count("max_position_embeddings", 512),
        types=numbers.count("type_vocab_size", 2),
        labels=labels,
        # DistilBERT has no setting for it.
        epsilon=1e-12 if family.settings else numbers.small("layer_norm_eps", 1e-12),
        activation=numbers.activation(),
        pad_id=_pad_id(config, family),
    )
    if width % encoder.heads or encoder.max_tokens < 1:
        raise CannotBuild(f"{encoder.heads} heads or {encoder.positions} positions do not fit it")
    return encoder


class _Settings:
    def __init__(self, config: Mapping[str, Any], names: Mapping[str, str]) -> None:
        self._config = config
        self._names = names

    def get(self, name: str, default: object) -> Any:
        own = self._names.get(name, name)
        if own != name and name in self._config:  # transformers takes either
            raise CannotBuild(f"{name} should be {own}")
        return self._config.get(own, default)

    def count(self, name: str, default: int) -> int:
        value = self.get(name, default)
        if not isinstance(value, int) or value < 1:
            raise CannotBuild(f"{name} is {value!r}")
        return value

    def small(self, name: str, default: float) -> float:
        value = self.get(name, default)
        if not isinstance(value, float) or not 0 < value < 1:
            raise CannotBuild(f"{name} is {value!r}")
        return value

    def activation(self) -> str:
        value = self.get("hidden_act", "gelu")
        if value not in ACTIVATIONS:
            raise CannotBuild(f"the activation is {value!r}")
        return str(value)


def _pad_id(config: Mapping[str, Any], family: Family) -> int:
    """Return the token that fills shorter texts up: where no position depends on it, any."""
    value = config.get("pad_token_id", 1 if family.numbers_from_pad else 0)
    if not family.numbers_from_pad:
        return value if isinstance(value, int) and value >= 0 else 0
    # MPNet numbers from 1 on, whatever its configuration says.
    if not isinstance(value, int) or value < 0 or (family.relative_bias and value != 1):
        raise CannotBuild(f"pad_token_id is {value!r}")
    return value
