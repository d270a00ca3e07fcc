"""Classifiers from a folder, with the settings a test does not care about."""

from __future__ import annotations

import os
from pathlib import Path

from valence_service.models.load import ModelSource, load_classifiers
from valence_service.sentiment import Classifier


def model_source(
    name: str | None,
    *,
    engine: str = "pipeline",
    precision: str = "f32",
    device: str = "cpu",
    cache_dir: Path | None = None,
    label_valence: dict[str, float] | None = None,
) -> ModelSource:
    return ModelSource(
        name=name,
        revision=None,
        engine=engine,
        precision=precision,
        device=device,
        cache_dir=cache_dir or Path(os.environ["XDG_CACHE_HOME"], "valence"),  # as servers have it
        label_valence=label_valence or {},
    )


def load(
    name: str | None,
    *,
    engine: str = "pipeline",
    precision: str = "f32",
    max_pass_tokens: int = 4096,
    workers: int = 1,
    **labels: float,
) -> Classifier:
    """The first of the classifiers."""
    source = model_source(name, engine=engine, precision=precision, label_valence=labels)
    return load_classifiers(source, workers=workers, max_pass_tokens=max_pass_tokens)[0]
