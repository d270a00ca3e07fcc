"""The computation of a BERT family's classifier, written for OpenVINO's CPU kernels.

It gives the same numbers as transformers' class, from the same weights, with less work than its
traced form:

* The head reads the first token alone, so the last layer computes only keys and values for the
  others.
* Attention is two products and a softmax with names, so that quantization can skip them.
* Each exit's head answers beside the last one, from the same layers. The full depth is the first
  output, ``logits``; the exit after the second layer is ``logits_2``.
* All tokens are of type 0, whose row is added to the table of positions. The scale of attention is
  part of the query's weights. The mask has one number for each token.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import openvino
from openvino import opset13 as ops

from valence_service.backends.bert_family import mpnet_buckets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from valence_service.backends.bert_family import Encoder

# Added to the score of padding, it makes the weight 0 in every precision.
MASKED = np.float32(-1e4)
# The products of attention, by name.
SCORES, CONTEXT = "attention_scores", "attention_context"
EXIT, MEAN = "exits.", "mean"
# Quantization skips the nodes whose names end so, and the exits' heads. The heads compute one token
# of a text: they cost almost nothing, and their error is the score's.
_LEFT_AS_THEY_ARE = (SCORES, CONTEXT, "bert.pooler.dense", "classifier")
_ACTIVATIONS: dict[str, Callable[[openvino.Node], openvino.Node]] = {
    "gelu": lambda of: ops.gelu(of, "ERF"),
    "gelu_new": lambda of: ops.gelu(of, "TANH"),
    "gelu_pytorch_tanh": lambda of: ops.gelu(of, "TANH"),
    "relu": ops.relu,
    "silu": ops.swish,
    "swish": ops.swish,
    "tanh": ops.tanh,
}


def left_as_it_is(name: str) -> bool:
    """Return whether quantization skips the node of this name."""
    return name.endswith(_LEFT_AS_THEY_ARE) or name.startswith(EXIT)


def build(
    encoder: Encoder,
    weights: Mapping[str, np.ndarray],
    exits: Mapping[str, np.ndarray] | None = None,
) -> openvino.Model:
    """Return a model from ids and mask, int64 [texts, tokens], to logits [texts, labels].

    ``weights`` has passed the encoder's check. ``exits`` holds the weights of the exits' heads,
    their names beginning with the layer. The model shares the arrays' memory where it can.
    """
    named = {EXIT + name: array for name, array in (exits or {}).items()}
    return _Builder(encoder, {**weights, **named}).build()


class _Builder:
    def __init__(self, encoder: Encoder, weights: Mapping[str, np.ndarray]) -> None:
        self._encoder = encoder
        self._family = encoder.family
        self._weights = weights
        self._ids = _parameter("input_ids")
        self._attended = _parameter("attention_mask")

    def build(self) -> openvino.Model:
        last = self._encoder.layers - 1
        hidden = self._embed()
        exits = []
        for number in range(self._encoder.layers):
            asking = _first_tokens(hidden) if number == last else hidden
            masks = self._masks(first_token=number == last)
            hidden = self._layer(self._encoder.layer(number), asking, hidden, masks)
            head = f"{EXIT}{number + 1}."
            if head + "dense.weight" in self._weights:
                mean = ops.matmul(self._shares, hidden, transpose_a=False, transpose_b=False)
                mean.set_friendly_name(head + MEAN)
                exits.append(self._head(mean, head + "dense", "tanh", head + "classifier"))
                exits[-1].output(0).set_names({f"logits_{number + 1}"})
        family = self._family
        logits = self._head(hidden, family.head, family.head_activation, family.classifier)
        logits.output(0).set_names({"logits"})
        return openvino.Model([logits, *exits], [self._ids, self._attended], "valence")

    def _head(
        self, read: openvino.Node, dense: str, activation: str, classifier: str
    ) -> openvino.Node:
        """Return logits [texts, labels] from one vector for each text, [texts, 1, width]."""
        pooled = self._dense(dense, ops.squeeze(read, _integers(1)))
        return self._dense(classifier, _ACTIVATIONS[activation](pooled))

    def _embed(self) -> openvino.Node:
        # The largest table stays in the type of its file: only the rows in use are converted.
        table = self._weights[self._encoder.embedding("word_embeddings.weight")]
        constant = ops.constant(table, shared_memory=True)
        words = ops.gather(ops.convert(constant, "f32"), self._ids, _integers())
        placed = ops.add(words, self._positions())
        embedded = self._norm(self._encoder.embedding("LayerNorm"), placed)
        if self._encoder.embedding_width == self._encoder.width:
            return embedded
        return self._dense(f"{self._family.prefix}embeddings_project", embedded)

    def _positions(self) -> openvino.Node:
        """Return the vector of each token's position and of the tokens' type."""
        table = self._float32(self._encoder.embedding("position_embeddings.weight"))
        if self._family.token_types:
            name = self._encoder.embedding("token_type_embeddings.weight")
            table = table + self._float32(name)[0]
        if not self._family.numbers_from_pad:
            start, step, axis = _integers(0), _integers(1), _integers(0)
            return ops.slice(_constant(table), start, self._tokens, step, axis)
        pad = _integer(self._encoder.pad_id)
        real = ops.convert(ops.not_equal(self._ids, pad), "i64")
        numbers = ops.multiply(ops.cumsum(real, _integer(1)), real)
        return ops.gather(_constant(table), ops.add(numbers, pad), _integers())

    @functools.cached_property
    def _tokens(self) -> openvino.Node:
        """The width of the micro-batch."""
        return ops.gather(ops.shape_of(self._attended), _integers(1), _integers())

    @functools.cached_property
    def _shares(self) -> openvino.Node:
        """The share of each token in the mean of its text: [texts, 1, tokens]."""
        real = ops.unsqueeze(ops.convert(self._attended, "f32"), _integers(1))
        return ops.divide(real, ops.reduce_sum(real, _integers(2), keep_dims=True))

    @functools.cached_property
    def _mask(self) -> openvino.Node:
        """What is added to the scores of each token: [texts, 1, 1, tokens]."""
        real = ops.unsqueeze(self._attended, _integers(1, 2))
        return ops.select(ops.greater(real, _integers()), np.float32(0), MASKED)

    @functools.cached_property
    def _relative_bias(self) -> openvino.Node:
        """What is added to the scores by the distance of two tokens: [1, heads, tokens, tokens]."""
        most = self._encoder.max_tokens - 1
        buckets = mpnet_buckets(np.arange(-most, most + 1))
        name = f"{self._family.prefix}encoder.relative_attention_bias.weight"
        by_distance = self._float32(name)[buckets].T  # [heads, distances]
        tokens = ops.squeeze(self._tokens, _integers(0))
        numbers = ops.range(_integer(0), tokens, _integer(1), "i64")
        row, column = (ops.unsqueeze(numbers, _integers(axis)) for axis in (0, 1))
        distances = ops.subtract(row, column)
        places = ops.add(distances, _integer(most))
        return ops.unsqueeze(ops.gather(_constant(by_distance), places, _integer(1)), _integers(0))

    def _masks(self, *, first_token: bool) -> list[openvino.Node]:
        """Return what is added to the scores of attention; first_token: that token's alone."""
        if not self._family.relative_bias:
            return [self._mask]
        bias = self._relative_bias
        if first_token:
            bias = ops.slice(bias, _integers(0), _integers(1), _integers(1), _integers(2))
        return [bias, self._mask]

    def _layer(
        self, layer: str, asking: openvino.Node, hidden: openvino.Node, masks: list[openvino.Node]
    ) -> openvino.Node:
        """Return a layer's output for the asking tokens, of shape [texts, asking tokens, width]."""
        family = self._family
        attended = self._attend(layer, asking, hidden, masks)
        attended = self._dense(layer + family.attended, attended)
        attended = self._norm(layer + family.attended_norm, ops.add(attended, asking))
        inner = _ACTIVATIONS[self._encoder.activation](self._dense(layer + family.inner, attended))
        outer = self._dense(layer + family.outer, inner)
        return self._norm(layer + family.outer_norm, ops.add(outer, attended))

    def _attend(
        self, layer: str, asking: openvino.Node, hidden: openvino.Node, masks: list[openvino.Node]
    ) -> openvino.Node:
        family, heads = self._family, self._encoder.heads
        size = self._encoder.width // heads
        query, key, value = (
            ops.transpose(
                ops.reshape(dense, _integers(0, 0, heads, size), special_zero=True),
                _integers(0, 2, 1, 3),
            )
            for dense in (
                self._dense(layer + family.query, asking, scale=size**-0.5),
                self._dense(layer + family.key, hidden),
                self._dense(layer + family.value, hidden),
            )
        )
        scores = ops.matmul(query, key, transpose_a=False, transpose_b=True)
        scores.set_friendly_name(layer + SCORES)
        for mask in masks:
            scores = ops.add(scores, mask)
        weights = ops.softmax(scores, -1)
        context = ops.matmul(weights, value, transpose_a=False, transpose_b=False)
        context.set_friendly_name(layer + CONTEXT)
        merged = ops.transpose(context, _integers(0, 2, 1, 3))
        return ops.reshape(merged, _integers(0, 0, self._encoder.width), special_zero=True)

    def _dense(self, name: str, of: openvino.Node, *, scale: float = 1.0) -> openvino.Node:
        weight, bias = self._float32(name + ".weight"), self._float32(name + ".bias")
        if scale != 1.0:
            weight, bias = weight * np.float32(scale), bias * np.float32(scale)
        product = ops.matmul(of, _constant(weight), transpose_a=False, transpose_b=True)
        product.set_friendly_name(name)
        return ops.add(product, _constant(bias))

    def _norm(self, name: str, of: openvino.Node) -> openvino.Node:
        even = ops.mvn(
            of,
            _integers(-1),
            normalize_variance=True,
            eps=self._encoder.epsilon,
            eps_mode="INSIDE_SQRT",
        )
        scaled = ops.multiply(even, _constant(self._float32(name + ".weight")))
        return ops.add(scaled, _constant(self._float32(name + ".bias")))

    def _float32(self, name: str) -> np.ndarray:
        return self._weights[name].astype(np.float32, copy=False)


def _parameter(name: str) -> openvino.Node:
    parameter = ops.parameter([-1, -1], np.int64, name)
    parameter.output(0).set_names({name})
    return parameter


def _constant(array: np.ndarray) -> openvino.Node:
    return ops.constant(np.ascontiguousarray(array), shared_memory=True)


def _first_tokens(hidden: openvino.Node) -> openvino.Node:
    """Return the first token of each text, of shape [texts, 1, width]."""
    return ops.slice(hidden, _integers(0), _integers(1), _integers(1), _integers(1))


def _integer(number: int) -> openvino.Node:
    return ops.constant(np.array(number, np.int64))


def _integers(*numbers: int) -> openvino.Node:
    """Return a constant: a list of the numbers, or the scalar 0 where there are none."""
    return ops.constant(np.array(numbers or 0, np.int64))
