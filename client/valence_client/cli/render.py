"""A model as the command prints it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valence_client.results import ModelInfo


def model_lines(model: ModelInfo) -> str:
    """Return the model, one fact a line."""
    labels = ", ".join(
        f"{label.name} ({label.polarity})"
        if label.valence is None
        else f"{label.name} ({label.polarity}, {label.valence:+g})"
        for label in model.labels
    )
    limits = model.limits
    because = f" ({model.engine_reason})" if model.engine_reason else ""
    return (
        f"model      {model.name}\n"
        f"revision   {model.revision}\n"
        f"labels     {labels}\n"
        f"limits     {limits.max_tokens} tokens read and {limits.max_text_bytes} bytes of a text, "
        f"{limits.max_batch_texts} texts in a batch\n"
        f"computed   by {model.engine} in {model.precision} on {model.device}{because}"
    )


def model_json(model: ModelInfo) -> str:
    """Return the model as JSON."""
    return json.dumps(dataclasses.asdict(model), ensure_ascii=False)
