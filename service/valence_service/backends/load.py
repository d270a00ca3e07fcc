"""Load a model's name or folder as classifiers, one for each replica."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from valence_service.backends.labels import read_labels
from valence_service.backends.selection import ExecutionPlan, plan_execution
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

# Each replica costs memory; beyond this many, a replica gets several cores instead.
MAX_DEFAULT_REPLICAS = 8
log = structlog.get_logger()


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
    allow_pickle: bool = False


def load_classifiers(
    source: ModelSource, *, workers: int | None, max_micro_batch_tokens: int
) -> Sequence[Classifier]:
    """Load as many replicas of the model as ``workers``; None: as many as suit the engine.

    Block while it reads, downloads or converts. Raise ModelUnusable.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # replicas run in parallel
    folder = find_model(source.name, source.revision, allow_pickle=source.allow_pickle)
    plan, artifact = _plan(source, folder)
    if artifact is None:
        return _pipelines(source, folder, plan, workers or 1, max_micro_batch_tokens)
    info = _info(source, folder, plan, artifact.input_spec.max_tokens)
    replicas = workers or min(_cores(), MAX_DEFAULT_REPLICAS)
    return _compiled(info, artifact, folder.activation, replicas, max_micro_batch_tokens)


def prepare_model(source: ModelSource) -> None:
    """Download and convert what load_classifiers would, and keep it. Raise ModelUnusable."""
    folder = find_model(source.name, source.revision, allow_pickle=source.allow_pickle)
    _plan(source, folder, must_keep=True)


def _plan(
    source: ModelSource, folder: ModelFolder, *, must_keep: bool = False
) -> tuple[ExecutionPlan, ModelArtifact | None]:
    """Return how to compute the model and, for the openvino engine, the model in its form."""
    from valence_service.backends.artifact import int8_xml
    from valence_service.backends.cache import prepare_artifact

    plan = plan_execution(
        source.engine, source.precision, source.device, int8_ready=int8_xml(folder) is not None
    )
    if plan.engine == "pipeline":
        return plan, None
    try:
        return plan, prepare_artifact(folder, plan.precision, source.cache_dir, must_keep=must_keep)
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
    plan: ExecutionPlan,
    replicas: int,
    max_micro_batch_tokens: int,
) -> list[Classifier]:
    import torch

    from valence_service.backends import torch_model
    from valence_service.backends.pipeline import PipelineClassifier, build_pipeline

    # The replicas compute at once, and share the cores.
    torch.set_num_threads(max(1, _cores() // replicas))
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[plan.precision]
    classifiers: list[Classifier] = []
    for _ in range(replicas):
        model, tokenizer = torch_model.read_model(folder, dtype=dtype)
        info = _info(source, folder, plan, torch_model.max_tokens(model, tokenizer))
        pipeline = build_pipeline(model, tokenizer, plan.device)
        classifiers.append(PipelineClassifier(info, pipeline, max_micro_batch_tokens))
    return classifiers


def _compiled(
    info: ModelInfo,
    artifact: ModelArtifact,
    activation: str,
    replicas: int,
    max_micro_batch_tokens: int,
) -> list[Classifier]:
    from valence_service.backends.openvino import LatencyForm, OpenVinoClassifier, compile_model

    compiled = functools.partial(compile_model, artifact, info.precision, threads=_cores())
    throughput = compiled(streams=replicas)
    # A single stream has all the cores already.
    latency = LatencyForm(functools.partial(compiled, streams=1)) if replicas > 1 else None
    return [
        OpenVinoClassifier(
            info,
            throughput,
            latency,
            artifact,
            activation=activation,
            max_micro_batch_tokens=max_micro_batch_tokens,
        )
        for _ in range(replicas)
    ]


def _info(
    source: ModelSource, folder: ModelFolder, plan: ExecutionPlan, max_tokens: int
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
        engine=plan.engine,
        precision=plan.precision,
        device=plan.device,
        engine_reason=plan.reason,
    )


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
