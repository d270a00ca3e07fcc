"""A small classifier with exits: random weights, an ordinary Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.support.architectures import LABELS, make_architecture

LAYERS, EXITS, WIDTH = 4, (1, 3), 32


def make_model_with_exits(folder: Path, *, confidence: float = 0.8) -> str:
    """A BERT of four layers, with exits after the first and the third."""
    make_architecture("bert", folder, max_tokens=64, num_hidden_layers=LAYERS)
    rng = np.random.default_rng(5)
    heads = {}
    # As sure as the deeper layers, whose vectors differ more.
    for layer, scale in zip(EXITS, (1.2, 0.4), strict=True):
        for name, rows in (("dense", WIDTH), ("classifier", len(LABELS))):
            weight = rng.normal(0, scale, (rows, WIDTH))
            heads[f"{layer}.{name}.weight"] = weight.astype(np.float16)
            heads[f"{layer}.{name}.bias"] = np.zeros(rows, np.float16)
    save_file(heads, folder / "exits.safetensors")
    set_exits(folder, {"layers": list(EXITS), "confidence": confidence})
    return str(folder)


def set_exits(folder: Path, entry: object) -> None:
    """Write the configuration's entry."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"exits": entry}))
