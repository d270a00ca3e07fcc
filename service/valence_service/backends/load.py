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
    check_unchanged,
    find_model,
)
from valence_service.core.classifier import LoadedModel
from valence_service.core.sentiment import ModelInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import openvino

    from valence_service.backends.artifact import ModelArtifact
    from valence_service.core.classifier import Classifier

__all__ = ["ModelSource", "ModelUnusable", "load_model", "prepare_model"]

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


def load_model(
    source: ModelSource, *, replicas: int | None, cores: int, max_micro_batch_tokens: int
) -> LoadedModel:
    """Load a model to compute on so many cores; ``replicas`` None: as many as suit the engine.

    Block while it reads, downloads or converts. Raise ModelUnusable.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # replicas run in parallel
    folder = find_model(source.name, source.revision, allow_pickle=source.allow_pickle)
    plan, artifact = _plan(source, folder)
    if artifact is None:
        return _pipelines(
            source,
            folder,
            plan,
            replicas=replicas or 1,
            cores=cores,
            max_micro_batch_tokens=max_micro_batch_tokens,
        )
    return _compiled(
        _info(source, folder, plan, artifact.input_spec.max_tokens),
        artifact,
        activation=folder.activation,
        replicas=replicas or min(cores, MAX_DEFAULT_REPLICAS),
        cores=cores,
        max_micro_batch_tokens=max_micro_batch_tokens,
    )


def prepare_model(source: ModelSource) -> None:
    """Download and convert what load_model would, and keep it. Raise ModelUnusable."""
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
    *,
    replicas: int,
    cores: int,
    max_micro_batch_tokens: int,
) -> LoadedModel:
    import torch

    from valence_service.backends import torch_model
    from valence_service.backends.pipeline import PipelineClassifier, build_pipeline
    from valence_service.backends.unknown_tokens import UnknownTokens

    # The replicas compute at once, and share the cores.
    torch.set_num_threads(max(1, cores // replicas))
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[plan.precision]

    def read() -> Classifier:
        model, tokenizer = torch_model.read_model(folder, dtype=dtype)
        info = _info(source, folder, plan, torch_model.max_tokens(model, tokenizer))
        pipeline = build_pipeline(model, tokenizer, plan.device)
        unknown = UnknownTokens.of_transformers(tokenizer)
        return PipelineClassifier(info, pipeline, max_micro_batch_tokens, unknown)

    def new_classifier() -> Classifier:
        check_unchanged(folder)  # all replicas compute the same weights
        return read()

    classifiers = [read() for _ in range(replicas)]
    return LoadedModel(classifiers[0].info, classifiers, new_classifier)


def _compiled(
    info: ModelInfo,
    artifact: ModelArtifact,
    *,
    activation: str,
    replicas: int,
    cores: int,
    max_micro_batch_tokens: int,
) -> LoadedModel:
    from valence_service.backends.openvino import LatencyForm, OpenVinoClassifier, compile_model

    compiled = functools.partial(compile_model, artifact, info.precision)
    throughput = compiled(streams=replicas, threads=cores)
    # A single stream has all the cores already.
    latency = (
        LatencyForm(functools.partial(compiled, streams=1, threads=cores)) if replicas > 1 else None
    )

    def classifier(form: openvino.CompiledModel) -> Classifier:
        return OpenVinoClassifier(
            info,
            form,
            latency,
            artifact,
            activation=activation,
            max_micro_batch_tokens=max_micro_batch_tokens,
        )

    def new_classifier() -> Classifier:
        # A hung stream holds a lock that other requests of its compiled model may wait for.
        return classifier(compiled(streams=1, threads=max(1, cores // replicas)))

    return LoadedModel(info, [classifier(throughput) for _ in range(replicas)], new_classifier)


def _info(
    source: ModelSource, folder: ModelFolder, plan: ExecutionPlan, max_tokens: int
) -> ModelInfo:
    try:
        labels = read_labels(folder.label_names, source.label_valence)
    except ValueError as error:
        raise ModelUnusable(str(error), setting="label_valence") from error
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
