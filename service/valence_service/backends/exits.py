"""A model's exits: heads that answer after some of its layers where the answer is sure already.

The entry ``exits`` of ``config.json`` lists the layers and the confidence that the model was
measured with; ``exits.safetensors`` holds the heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from valence_service.backends.integrity import check_safetensors
from valence_service.backends.source import ModelUnusable
from valence_service.backends.weights import read_safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from valence_service.backends.source import ModelFolder

HEADS = "exits.safetensors"
# A text leaves no earlier than at full depth.
NO_EXITS = 1.0
# What configurations call the number of layers.
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers")


@dataclass(frozen=True, slots=True)
class Exits:
    """The exits that texts may take."""

    layers: tuple[int, ...]
    """The layers computed at each, which count from 1."""
    confidence: float
    """A text leaves at the first exit whose top score is at least this."""


def layers_of(config: Mapping[str, Any]) -> int:
    """Return the number of a model's layers; 0 where its configuration does not say."""
    found = (config.get(name) for name in _LAYERS)
    return next((count for count in found if isinstance(count, int) and count > 0), 0)


def exits_of(folder: ModelFolder, confidence: float | None) -> Exits | None:
    """Return the exits in use: at the operator's confidence, or else at the model's.

    None where the model has none, or the confidence is 1. Raise ModelUnusable where the operator
    wants exits of a model that has none, or its entry is wrong.
    """
    if confidence is not None and confidence >= NO_EXITS:
        return None
    entry = folder.config.get("exits")
    if entry is None:
        if confidence is not None:
            raise ModelUnusable(
                f"{folder.name} has no exits: leave it out", setting="exit_confidence"
            )
        return None
    exits = _read(entry, layers_of(folder.config))
    if exits is None or folder.activation != "softmax":
        raise ModelUnusable(
            f"{folder.path / 'config.json'}, exits: is no confidence of 0 to 1 and rising layers "
            "below the last one, of a model with one label a text: correct it"
        )
    used = exits.confidence if confidence is None else confidence
    return Exits(exits.layers, used) if used < NO_EXITS else None


def _read(entry: Any, depth: int) -> Exits | None:
    if not isinstance(entry, dict):
        return None
    layers, confidence = entry.get("layers"), entry.get("confidence")
    if not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        return None
    if not isinstance(layers, list) or not all(isinstance(layer, int) for layer in layers):
        return None
    if not layers or sorted({*layers}) != layers or not 0 < layers[0] <= layers[-1] < depth:
        return None
    return Exits(tuple(layers), float(confidence))


def read_heads(folder: ModelFolder, layers: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return the weights of the heads after these layers. Raise ModelUnusable."""
    path = folder.path / HEADS
    if not path.exists():
        raise ModelUnusable(f"{path} is missing, and config.json lists exits: download it too")
    check_safetensors(path)
    weights = read_safetensors([path])
    return {
        name: array for name, array in weights.items() if name.split(".")[0] in map(str, layers)
    }
