"""Classifiers from a folder, with the settings a test does not care about."""

from __future__ import annotations

import os
from pathlib import Path

from valence_service.backends.load import ModelSource, load_model
from valence_service.core.classifier import Classifier, LoadedModel


def model_source(
    name: str | None,
    *,
    engine: str = "pipeline",
    precision: str = "f32",
    device: str = "cpu",
    cache_dir: Path | None = None,
    label_valence: dict[str, float] | None = None,
    max_text_tokens: int = 2048,
    self_check: bool = True,
    exit_confidence: float | None = None,
) -> ModelSource:
    return ModelSource(
        name=name,
        revision=None,
        engine=engine,
        precision=precision,
        device=device,
        cache_dir=cache_dir or Path(os.environ["XDG_CACHE_HOME"], "valence"),  # as servers have it
        label_valence=label_valence or {},
        max_text_tokens=max_text_tokens,
        self_check=self_check,
        exit_confidence=exit_confidence,
    )


def load(
    name: str | None,
    *,
    engine: str = "pipeline",
    precision: str = "f32",
    max_micro_batch_tokens: int = 4096,
    replicas: int = 1,
    max_text_tokens: int = 2048,
    self_check: bool = True,
    **labels: float,
) -> Classifier:
    """Load the first of the classifiers."""
    source = model_source(
        name,
        engine=engine,
        precision=precision,
        label_valence=labels,
        max_text_tokens=max_text_tokens,
        self_check=self_check,
    )
    loaded = load_replicas(source, replicas, max_micro_batch_tokens=max_micro_batch_tokens)
    return loaded.classifiers[0]


def load_replicas(
    source: ModelSource, replicas: int, *, max_micro_batch_tokens: int = 4096
) -> LoadedModel:
    """Load a model to compute on two cores, whatever the machine has."""
    return load_model(
        source, replicas=replicas, cores=2, max_micro_batch_tokens=max_micro_batch_tokens
    )
