"""The BERT family: which classifiers bert_graph.py computes, and what each calls its weights.

A model is one of them only if everything that is known to change the computation has a value that
is known here, and its weights have the names and shapes that follow. Any other is traced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

# MPNet sorts the distances of two tokens into so many buckets, whatever its configuration says.
MPNET_BUCKETS = 32
# Tensors that a checkpoint may hold and a classifier does not compute: numbers of positions, and
# the heads of pre-training.
_UNUSED = re.compile(
    r".*\.(position_ids|token_type_ids)|(cls|lm_head|discriminator_predictions|generator_\w+)\..*"
    r"|vocab_(transform|layer_norm|projector)\..*"
)


class CannotBuild(Exception):
    """The model is not one of the family; the message says why."""


@dataclass(frozen=True, slots=True)
class Family:
    """The names of a family's weights, and its differences from BERT."""

    prefix: str
    layer: str = "encoder.layer."
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attended: str = "attention.output.dense"
    attended_norm: str = "attention.output.LayerNorm"
    inner: str = "intermediate.dense"
    outer: str = "output.dense"
    outer_norm: str = "output.LayerNorm"
    token_types: bool = True
    numbers_from_pad: bool = False
    """Whether the positions of tokens are numbered from the padding token's id on."""
    relative_bias: bool = False
    """Whether the distance of two tokens adds to the score of their attention."""
    projected: bool = False
    """Whether embeddings may have a width of their own."""
    head: str = "classifier.dense"
    head_activation: str = "tanh"
    classifier: str = "classifier.out_proj"
    heads_default: int = 12
    settings: Mapping[str, str] = field(default_factory=dict)
    """What its configuration calls the settings that have another name than BERT's."""


_DISTILBERT_SETTINGS = {
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
_ROBERTA = Family("roberta.", numbers_from_pad=True)
# By model_type: the class of the classifier, and its family.
FAMILIES = {
    "bert": (
        "BertForSequenceClassification",
        Family("bert.", head="bert.pooler.dense", classifier="classifier"),
    ),
    "roberta": ("RobertaForSequenceClassification", _ROBERTA),
    "xlm-roberta": ("XLMRobertaForSequenceClassification", _ROBERTA),
    "camembert": ("CamembertForSequenceClassification", _ROBERTA),
    "electra": (
        "ElectraForSequenceClassification",
        Family("electra.", projected=True, head_activation="gelu", heads_default=4),
    ),
    "distilbert": (
        "DistilBertForSequenceClassification",
        Family(
            "distilbert.",
            layer="transformer.layer.",
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            attended="attention.out_lin",
            attended_norm="sa_layer_norm",
            inner="ffn.lin1",
            outer="ffn.lin2",
            outer_norm="output_layer_norm",
            token_types=False,
            head="pre_classifier",
            head_activation="relu",
            classifier="classifier",
            settings=_DISTILBERT_SETTINGS,
        ),
    ),
    "mpnet": (
        "MPNetForSequenceClassification",
        Family(
            "mpnet.",
            query="attention.attn.q",
            key="attention.attn.k",
            value="attention.attn.v",
            attended="attention.attn.o",
            attended_norm="attention.LayerNorm",
            token_types=False,
            numbers_from_pad=True,
            relative_bias=True,
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Encoder:
    """A classifier of the family: its sizes, and how it computes."""

    family: Family
    layers: int
    heads: int
    width: int
    inner_width: int
    embedding_width: int
    words: int
    positions: int
    types: int
    labels: int
    epsilon: float
    activation: str
    pad_id: int

    @property
    def unused_positions(self) -> int:
        """Return the number of positions that no token takes."""
        return self.pad_id + 1 if self.family.numbers_from_pad else 0

    @property
    def max_tokens(self) -> int:
        """Return the most tokens that it has positions for."""
        return self.positions - self.unused_positions

    def layer(self, number: int) -> str:
        """Return how the names of a layer's weights begin; layers count from 0."""
        return f"{self.family.prefix}{self.family.layer}{number}."

    def embedding(self, name: str) -> str:
        """Return the name of a part of the embeddings."""
        return f"{self.family.prefix}embeddings.{name}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the names and shapes of the weights."""
        family, width, narrow = self.family, self.width, self.embedding_width
        dense = {family.head: (width, width), family.classifier: (self.labels, width)}
        norms = {self.embedding("LayerNorm"): narrow}
        tables = {"word": self.words, "position": self.positions}
        if family.token_types:
            tables["token_type"] = self.types
        shapes: dict[str, tuple[int, ...]] = {
            self.embedding(f"{kind}_embeddings.weight"): (rows, narrow)
            for kind, rows in tables.items()
        }
        if narrow != width:
            dense[f"{family.prefix}embeddings_project"] = (width, narrow)
        if family.relative_bias:
            shapes[f"{family.prefix}encoder.relative_attention_bias.weight"] = (
                MPNET_BUCKETS,
                self.heads,
            )
        for number in range(self.layers):
            layer = self.layer(number)
            for name in (family.query, family.key, family.value, family.attended):
                dense[layer + name] = (width, width)
            dense[layer + family.inner] = (self.inner_width, width)
            dense[layer + family.outer] = (width, self.inner_width)
            norms |= {layer + family.attended_norm: width, layer + family.outer_norm: width}
        shapes |= _shapes_of(dense)
        shapes |= {
            f"{name}.{part}": (size,) for name, size in norms.items() for part in ("weight", "bias")
        }
        return shapes

    def check(self, weights: Mapping[str, np.ndarray]) -> None:
        """Raise CannotBuild unless the weights are exactly those that it computes."""
        shapes = self.shapes()
        _compare(weights, shapes)
        for name in weights.keys() - shapes.keys():
            unused = f"{self.family.prefix}pooler."
            if not (name.startswith(unused) or _UNUSED.fullmatch(name)):
                raise CannotBuild(f"its weights have {name}, which is not known")

    def check_exits(self, heads: Mapping[str, np.ndarray], layers: tuple[int, ...]) -> None:
        """Raise CannotBuild unless the heads of exits have the shapes that it computes."""
        sizes = {"dense": (self.width, self.width), "classifier": (self.labels, self.width)}
        dense = {f"{layer}.{name}": size for layer in layers for name, size in sizes.items()}
        _compare(heads, _shapes_of(dense))


def _shapes_of(dense: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights and biases of dense layers."""
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": size for name, size in dense.items()}
    return shapes | {f"{name}.bias": size[:1] for name, size in dense.items()}


def _compare(weights: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        if name not in weights:
            raise CannotBuild(f"its weights lack {name}")
        if weights[name].shape != shape:
            raise CannotBuild(f"{name} has shape {weights[name].shape}, not {shape}")


def mpnet_buckets(distances: np.ndarray) -> np.ndarray:
    """Return the bucket of each distance of a token from the one that asks.

    Each direction has half of the buckets: one for each of the next tokens, then wider ones.
    """
    half, widest = MPNET_BUCKETS // 2, 128
    exact = half // 2
    away = np.abs(distances)
    with np.errstate(divide="ignore"):  # no distance at all
        far = np.log(away.astype(np.float32) / exact) / np.float32(np.log(widest / exact))
    wide = exact + (np.maximum(far, 0) * (half - exact)).astype(np.int64)
    buckets = np.where(away < exact, away, np.minimum(wide, half - 1))
    return np.asarray(buckets + np.where(distances > 0, half, 0))
