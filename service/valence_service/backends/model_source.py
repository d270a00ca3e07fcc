"""Which model the operator names, and what the service tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from valence_service.backends.exits import layers_of
from valence_service.backends.labels import read_labels
from valence_service.backends.source import ModelUnusable
from valence_service.core.sentiment import ModelInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from valence_service.backends.selection import ExecutionPlan
    from valence_service.backends.source import ModelFolder


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model's name, and how to compute it."""

    name: str | None
    """A folder or a name on the hub; None is the embedded model."""
    revision: str | None
    engine: str
    """``auto``, ``pipeline`` or ``openvino``."""
    precision: str
    """``auto``, ``f32``, ``bf16`` or ``int8``."""
    device: str
    """``auto``, or what torch calls a device: ``cpu``, ``cuda``, ``cuda:1``."""
    cache_dir: Path
    """Where converted models are kept."""
    label_valence: Mapping[str, float]
    max_text_tokens: int
    """The most tokens read of a text, unless the model reads fewer."""
    self_check: bool
    """Whether to compare answers before the model serves. The embedded model starts without."""
    allow_pickle: bool = False
    exit_confidence: float | None = None
    """The least score that leaves a model at an exit; None: the model's own, 1: full depth."""


def model_info(
    source: ModelSource, folder: ModelFolder, plan: ExecutionPlan, max_tokens: int
) -> ModelInfo:
    """Return the model's facts. Raise ModelUnusable where a mapped label is not the model's."""
    try:
        labels = read_labels(folder.label_names, source.label_valence)
    except ValueError as error:
        raise ModelUnusable(str(error), setting="label_valence") from error
    return ModelInfo(
        name=folder.name,
        revision=folder.revision,
        labels=labels,
        max_tokens=min(max_tokens, source.max_text_tokens),
        engine=plan.engine,
        precision=plan.precision,
        device=plan.device,
        engine_reason=plan.reason,
        layers=layers_of(folder.config),
    )
