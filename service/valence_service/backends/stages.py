"""Split a model at its exits, so that texts which leave cost nothing from there on.

A stage computes the layers up to an exit: from ids or the vectors of the stage before, and the
mask, to the logits of its exit and the vectors of the tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import openvino
from openvino import opset13 as ops

from valence_service.backends.bert_graph import EXIT, MEAN

if TYPE_CHECKING:
    from collections.abc import Sequence

VECTORS = "hidden_states"


def exits_in(model: openvino.Model, layers: Sequence[int]) -> tuple[int, ...]:
    """Return those of the layers after which the model has an exit."""
    names = {node.get_friendly_name() for node in model.get_ops()}
    return tuple(layer for layer in layers if _mean(layer) in names)


def split(model: openvino.Model, layers: Sequence[int]) -> list[openvino.Model]:
    """Return a model for each stage: one for each exit after the layers, and the last one.

    The models share the weights. Only the last one has a single output.
    """
    if not layers:
        return [_without_exits(model)]
    return [
        _stage(model.clone(), start, end)
        for start, end in zip((None, *layers), (*layers, None), strict=True)
    ]


def _mean(layer: int) -> str:
    """Return the name of the node that reads a layer's vectors for an exit."""
    return f"{EXIT}{layer}.{MEAN}"


def _without_exits(model: openvino.Model) -> openvino.Model:
    if len(model.outputs) == 1:
        return model
    return openvino.Model([_computed(model.output(0))], model.get_parameters(), model.get_name())


def _stage(model: openvino.Model, start: int | None, end: int | None) -> openvino.Model:
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    parameters = model.get_parameters()
    # Before the stage's own input replaces them where the stage begins.
    after = None if end is None else nodes[_mean(end)].input_value(1)
    if start is not None:
        before = nodes[_mean(start)].input_value(1)
        vectors = ops.parameter(before.get_partial_shape(), before.get_element_type(), VECTORS)
        vectors.output(0).set_names({VECTORS})
        for target in before.get_target_inputs():
            target.replace_source_output(vectors.output(0))
        masks = [node for node in parameters if "attention_mask" in node.output(0).get_names()]
        parameters = [vectors, *masks]
    if after is None:
        return openvino.Model([_computed(model.output(0))], parameters, "last stage")
    logits = _computed(model.output(f"logits_{end}"))
    return openvino.Model([logits, after], parameters, f"stage to layer {end}")


def _computed(output: openvino.Output) -> openvino.Output:
    """Return what a model's output stands for."""
    return output.get_node().input_value(0)
