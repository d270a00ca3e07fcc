"""A model's name or folder to classifiers, one for each worker."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from valence_service.backends.labels import read_labels
from valence_service.backends.selection import ExecutionPlan, choose
from valence_service.backends.source import (
    CannotConvert,
    ModelFolder,
    ModelUnusable,
    find_model,
)
from valence_service.core.sentiment import ModelInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from valence_service.backends.artifact import ModelArtifact
    from valence_service.core.classifier import Classifier

__all__ = ["ModelSource", "ModelUnusable", "load_classifiers", "prepare_model"]

# Each stream costs memory; beyond this many, a stream gets several cores instead.
MAX_DEFAULT_REPLICAS = 8
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Which model, and how to compute it."""

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
    allow_pickle: bool = False


def load_classifiers(
    source: ModelSource, *, workers: int | None, max_micro_batch_tokens: int
) -> Sequence[Classifier]:
    """Replicas of the model, as many as ``workers``; None is what suits the engine.

    Blocks while it reads, downloads or converts. Raises ModelUnusable.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the workers are the parallelism
    folder = find_model(source.name, source.revision, allow_pickle=source.allow_pickle)
    choice, prepared = _choose(source, folder)
    if prepared is None:
        return _pipelines(source, folder, choice, workers or 1, max_micro_batch_tokens)
    info = _info(source, folder, choice, prepared.input_spec.max_tokens)
    streams = workers or min(_cores(), MAX_DEFAULT_REPLICAS)
    return _compiled(info, prepared, folder.activation, streams, max_micro_batch_tokens)


def prepare_model(source: ModelSource) -> None:
    """Download and convert what load_classifiers would, and keep it. Raises ModelUnusable."""
    folder = find_model(source.name, source.revision, allow_pickle=source.allow_pickle)
    _choose(source, folder, must_keep=True)


def _choose(
    source: ModelSource, folder: ModelFolder, *, must_keep: bool = False
) -> tuple[ExecutionPlan, ModelArtifact | None]:
    """What computes the model; for the openvino engine, the model in its form."""
    from valence_service.backends.artifact import int8_xml, prepare

    choice = choose(
        source.engine, source.precision, source.device, int8_ready=int8_xml(folder) is not None
    )
    if choice.engine == "pipeline":
        return choice, None
    try:
        return choice, prepare(folder, choice.precision, source.cache_dir, must_keep=must_keep)
    except CannotConvert as error:
        if source.engine != "auto":
            raise
        log.warning("engine", chosen="pipeline", reason=str(error))
        precision = "f32" if source.precision == "auto" else source.precision
        reason = "pipeline: OpenVINO could not convert the model"
        return ExecutionPlan("pipeline", precision, "cpu", reason), None


def _pipelines(
    source: ModelSource,
    folder: ModelFolder,
    choice: ExecutionPlan,
    workers: int,
    max_micro_batch_tokens: int,
) -> list[Classifier]:
    import torch

    from valence_service.backends import torch_model
    from valence_service.backends.pipeline import PipelineClassifier, build_pipeline

    # Passes of several replicas run at once: together they get the cores, and no more.
    torch.set_num_threads(max(1, _cores() // workers))
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[choice.precision]
    classifiers: list[Classifier] = []
    for _ in range(workers):
        model, tokenizer = torch_model.read_model(folder, dtype=dtype)
        info = _info(source, folder, choice, torch_model.max_tokens(model, tokenizer))
        pipeline = build_pipeline(model, tokenizer, choice.device)
        classifiers.append(PipelineClassifier(info, pipeline, max_micro_batch_tokens))
    return classifiers


def _compiled(
    info: ModelInfo,
    prepared: ModelArtifact,
    activation: str,
    streams: int,
    max_micro_batch_tokens: int,
) -> list[Classifier]:
    from valence_service.backends.openvino import LatencyForm, OpenVinoClassifier, compile_model

    compiled = functools.partial(compile_model, prepared, info.precision, threads=_cores())
    crowd = compiled(streams=streams)
    # One stream has all the cores as it is.
    lone = LatencyForm(functools.partial(compiled, streams=1)) if streams > 1 else None
    return [
        OpenVinoClassifier(
            info,
            crowd,
            lone,
            prepared,
            activation=activation,
            max_micro_batch_tokens=max_micro_batch_tokens,
        )
        for _ in range(streams)
    ]


def _info(
    source: ModelSource, folder: ModelFolder, choice: ExecutionPlan, max_tokens: int
) -> ModelInfo:
    try:
        labels = read_labels(folder.label_names, source.label_valence)
    except ValueError as error:
        raise ModelUnusable(f"--label-valence: {error}") from error
    return ModelInfo(
        name=folder.name,
        revision=folder.revision,
        labels=labels,
        max_tokens=max_tokens,
        engine=choice.engine,
        precision=choice.precision,
        device=choice.device,
        engine_reason=choice.reason,
    )


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
