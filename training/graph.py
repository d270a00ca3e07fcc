"""The embedded model's computation, written for OpenVINO's CPU kernels.

It gives the same numbers as transformers' BertForSequenceClassification, from the same weights,
with less work than its traced form:

* The head reads the first token alone, so the last layer computes only keys and values for the
  others.
* Attention is two products and a softmax with names, so that quantization can skip them.
* Each exit's head answers beside the last one, from the same layers. The full depth is the first
  output, ``logits``; the exit after the second layer is ``logits_2``.
* All tokens are of type 0, whose row is added to the table of positions. The scale of attention is
  part of the query's weights. The mask has one number for each token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openvino
from openvino import opset13 as ops

if TYPE_CHECKING:
    from collections.abc import Mapping

# Added to the score of padding, it makes the weight 0 in every precision.
MASKED = np.float32(-1e4)
# The products of attention, by name.
SCORES, CONTEXT = "attention_scores", "attention_context"
EXIT = "exits."
# Quantization skips the nodes whose names end so, and the exits' heads. The heads compute one token
# of a text: they cost almost nothing, and their error is the score's.
_LEFT_AS_THEY_ARE = (SCORES, CONTEXT, "bert.pooler.dense", "classifier")


def left_as_it_is(name: str) -> bool:
    """Return whether quantization skips the node of this name."""
    return name.endswith(_LEFT_AS_THEY_ARE) or name.startswith(EXIT)


def build(
    weights: Mapping[str, np.ndarray],
    *,
    heads: int,
    epsilon: float,
    exits: Mapping[str, np.ndarray] | None = None,
) -> openvino.Model:
    """Return a model from ids and mask, int64 [texts, tokens], to logits [texts, labels].

    ``exits`` holds the weights of the exits' heads, their names beginning with the layer.
    """
    named = {EXIT + name: array for name, array in (exits or {}).items()}
    return _Builder({**weights, **named}, heads, epsilon).build()


class _Builder:
    def __init__(self, weights: Mapping[str, np.ndarray], heads: int, epsilon: float) -> None:
        self._weights = {name: array.astype(np.float32) for name, array in weights.items()}
        self._heads = heads
        self._epsilon = epsilon
        self._layers = 1 + max(
            int(name.split(".")[3]) for name in weights if name.startswith("bert.encoder.layer.")
        )

    def build(self) -> openvino.Model:
        ids = _parameter("input_ids")
        attended = _parameter("attention_mask")
        real = ops.unsqueeze(attended, _integers(1, 2))  # [texts, 1, 1, tokens]
        mask = ops.select(ops.greater(real, _integers()), np.float32(0), MASKED)
        hidden = self._embed(ids)
        # [texts, 1, tokens]: the share of each token in the mean of its text.
        weight = ops.unsqueeze(ops.convert(attended, "f32"), _integers(1))
        weight = ops.divide(weight, ops.reduce_sum(weight, _integers(2), keep_dims=True))
        exits = []
        for number in range(self._layers):
            layer = f"bert.encoder.layer.{number}."
            asking = _first_token(hidden) if number == self._layers - 1 else hidden
            hidden = self._layer(layer, asking, hidden, mask)
            head = f"{EXIT}{number + 1}."
            if head + "dense.weight" in self._weights:
                dense, classifier = head + "dense", head + "classifier"
                mean = ops.matmul(weight, hidden, transpose_a=False, transpose_b=False)
                mean.set_friendly_name(head + "mean")
                exits.append(self._head(mean, dense, classifier))
                exits[-1].output(0).set_names({f"logits_{number + 1}"})
        logits = self._head(hidden, "bert.pooler.dense", "classifier")
        logits.output(0).set_names({"logits"})
        return openvino.Model([logits, *exits], [ids, attended], "valence")

    def _head(self, read: openvino.Node, dense: str, classifier: str) -> openvino.Node:
        """Return logits [texts, labels] from one vector for each text, [texts, 1, width]."""
        pooled = ops.tanh(self._dense(dense, ops.squeeze(read, _integers(1))))
        return self._dense(classifier, pooled)

    def _embed(self, ids: openvino.Node) -> openvino.Node:
        tables = {
            kind: self._weights[f"bert.embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        }
        words = ops.gather(ops.constant(tables["word"]), ids, _integers())
        positions = ops.slice(
            ops.constant(tables["position"] + tables["token_type"][0]),
            _integers(0),
            ops.gather(ops.shape_of(ids), _integers(1), _integers()),
            _integers(1),
            _integers(0),
        )
        return self._norm("bert.embeddings.LayerNorm", ops.add(words, positions))

    def _layer(
        self, layer: str, asking: openvino.Node, hidden: openvino.Node, mask: openvino.Node
    ) -> openvino.Node:
        """Return a layer's output for the asking tokens, of shape [texts, asking tokens, width]."""
        attended = self._attend(layer + "attention.self.", asking, hidden, mask)
        attended = self._dense(layer + "attention.output.dense", attended)
        attended = self._norm(layer + "attention.output.LayerNorm", ops.add(attended, asking))
        inner = ops.gelu(self._dense(layer + "intermediate.dense", attended), "ERF")
        outer = self._dense(layer + "output.dense", inner)
        return self._norm(layer + "output.LayerNorm", ops.add(outer, attended))

    def _attend(
        self, part: str, asking: openvino.Node, hidden: openvino.Node, mask: openvino.Node
    ) -> openvino.Node:
        width = self._weights[part + "query.bias"].size
        size = width // self._heads
        query, key, value = (
            ops.transpose(
                ops.reshape(dense, _integers(0, 0, self._heads, size), special_zero=True),
                _integers(0, 2, 1, 3),
            )
            for dense in (
                self._dense(part + "query", asking, scale=size**-0.5),
                self._dense(part + "key", hidden),
                self._dense(part + "value", hidden),
            )
        )
        scores = ops.matmul(query, key, transpose_a=False, transpose_b=True)
        scores.set_friendly_name(part + SCORES)
        weights = ops.softmax(ops.add(scores, mask), -1)
        context = ops.matmul(weights, value, transpose_a=False, transpose_b=False)
        context.set_friendly_name(part + CONTEXT)
        merged = ops.transpose(context, _integers(0, 2, 1, 3))
        return ops.reshape(merged, _integers(0, 0, width), special_zero=True)

    def _dense(self, name: str, of: openvino.Node, *, scale: float = 1.0) -> openvino.Node:
        weight = self._weights[name + ".weight"] * np.float32(scale)
        bias = self._weights[name + ".bias"] * np.float32(scale)
        product = ops.matmul(of, ops.constant(weight), transpose_a=False, transpose_b=True)
        product.set_friendly_name(name)
        return ops.add(product, ops.constant(bias))

    def _norm(self, name: str, of: openvino.Node) -> openvino.Node:
        even = ops.mvn(
            of,
            _integers(-1),
            normalize_variance=True,
            eps=self._epsilon,
            eps_mode="INSIDE_SQRT",
        )
        scaled = ops.multiply(even, ops.constant(self._weights[name + ".weight"]))
        return ops.add(scaled, ops.constant(self._weights[name + ".bias"]))


def _parameter(name: str) -> openvino.Node:
    parameter = ops.parameter([-1, -1], np.int64, name)
    parameter.output(0).set_names({name})
    return parameter


def _first_token(hidden: openvino.Node) -> openvino.Node:
    """Return the first token of each text, of shape [texts, 1, width]."""
    return ops.slice(hidden, _integers(0), _integers(1), _integers(1), _integers(1))


def _integers(*numbers: int) -> openvino.Node:
    """Return a constant: a list of the numbers, or the scalar 0 where there are none."""
    return ops.constant(np.array(numbers or 0, np.int64))
