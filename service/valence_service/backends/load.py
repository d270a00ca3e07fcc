"""Load a model's name or folder as classifiers, one for each replica."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import structlog

from valence_service.backends.exits import NO_EXITS, exits_of
from valence_service.backends.model_source import ModelSource, model_info
from valence_service.backends.selection import ExecutionPlan, can_convert, plan_execution
from valence_service.backends.self_check import SelfCheck
from valence_service.backends.source import CannotConvert, ModelFolder, ModelUnusable, find_model
from valence_service.core.classifier import LoadedModel

if TYPE_CHECKING:
    from valence_service.backends.artifact import ModelArtifact
    from valence_service.backends.exits import Exits
    from valence_service.core.classifier import Classifier

__all__ = ["ModelSource", "ModelUnusable", "load_model", "prepare_model"]

# Each replica costs memory; beyond this many, a replica gets several cores instead.
MAX_DEFAULT_REPLICAS = 8
log = structlog.get_logger()


def load_model(
    source: ModelSource, *, replicas: int | None, cores: int, max_micro_batch_tokens: int
) -> LoadedModel:
    """Load a model to compute on so many cores; ``replicas`` None: as many as suit the engine.

    Block while it reads, downloads or converts. Raise ModelUnusable.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # replicas run in parallel
    folder = find_model(source.name, source.revision, allow_pickle=source.allow_pickle)
    plan = _plan(source, folder)
    if plan.engine == "openvino":
        try:
            return _compiled(
                source,
                folder,
                plan,
                replicas=replicas or min(cores, MAX_DEFAULT_REPLICAS),
                cores=cores,
                max_micro_batch_tokens=max_micro_batch_tokens,
            )
        except CannotConvert as error:
            plan = _without_openvino(source, error)
    elif source.exit_confidence is not None and source.exit_confidence < NO_EXITS:
        raise ModelUnusable(
            "the pipeline engine computes every layer: leave it out, or --engine openvino",
            setting="exit_confidence",
        )
    from valence_service.backends.pipelines import load_pipelines

    return load_pipelines(
        source,
        folder,
        plan,
        replicas=replicas or 1,
        cores=cores,
        max_micro_batch_tokens=max_micro_batch_tokens,
    )


def prepare_model(source: ModelSource) -> None:
    """Download and convert what load_model would, and keep it. Raise ModelUnusable."""
    folder = find_model(source.name, source.revision, allow_pickle=source.allow_pickle)
    plan = _plan(source, folder)
    if plan.engine == "openvino":
        try:
            exits = exits_of(folder, source.exit_confidence)
            _artifact(source, folder, plan, exits, must_keep=True)
        except CannotConvert as error:
            _without_openvino(source, error)


def _plan(source: ModelSource, folder: ModelFolder) -> ExecutionPlan:
    from valence_service.backends.artifact import int8_xml
    from valence_service.backends.bert_build import can_build

    def others_ready() -> bool:
        exits = exits_of(folder, source.exit_confidence)
        return can_build(folder, exits.layers if exits else ())

    return plan_execution(
        source.engine,
        source.precision,
        source.device,
        int8_ready=int8_xml(folder) is not None,
        others_ready=others_ready,
    )


def _artifact(
    source: ModelSource,
    folder: ModelFolder,
    plan: ExecutionPlan,
    exits: Exits | None,
    *,
    must_keep: bool = False,
) -> ModelArtifact:
    from valence_service.backends.cache import prepare_artifact

    layers = exits.layers if exits else ()
    artifact = prepare_artifact(
        folder,
        plan.precision,
        source.cache_dir,
        check_tokens=source.max_text_tokens if source.self_check else None,
        exits=layers,
        must_keep=must_keep,
    )
    unused = [layer for layer in layers if layer not in artifact.exits]
    if unused:
        log.warning("exits_unused", layers=unused, reason=f"its {plan.precision} form lacks them")
    return artifact.reading(source.max_text_tokens)


def _without_openvino(source: ModelSource, error: CannotConvert) -> ExecutionPlan:
    """Return how to compute a model that OpenVINO cannot. Raise error if nothing else may."""
    if source.engine != "auto" or source.precision == "int8" or not can_convert():
        raise error
    log.warning("engine", chosen="pipeline", reason=str(error))
    precision = "bf16" if source.precision == "bf16" else "f32"
    return ExecutionPlan(
        "pipeline", precision, "cpu", "pipeline: OpenVINO cannot compute the model"
    )


def _compiled(
    source: ModelSource,
    folder: ModelFolder,
    plan: ExecutionPlan,
    *,
    replicas: int,
    cores: int,
    max_micro_batch_tokens: int,
) -> LoadedModel:
    from valence_service.backends.compiled import LatencyForm, compile_model
    from valence_service.backends.openvino import OpenVinoClassifier
    from valence_service.backends.serving_form import find_serving_form
    from valence_service.backends.token_reader import OffsetReader

    exits = exits_of(folder, source.exit_confidence)
    artifact = _artifact(source, folder, plan, exits)
    info = model_info(source, folder, plan, artifact.input_spec.max_tokens)

    def load(form: ModelArtifact) -> LoadedModel:
        compiled = functools.partial(compile_model, form, info.precision)
        classifier = functools.partial(
            OpenVinoClassifier,
            info,
            artifact=form,
            activation=folder.activation,
            max_micro_batch_tokens=max_micro_batch_tokens,
        )
        throughput = compiled(streams=replicas, threads=cores)
        if source.self_check and source.name is not None:
            # Both at full depth: a text may take another exit where its width is another.
            exact = classifier(throughput, None, artifact=form.one_by_one())
            check = SelfCheck(
                info.max_tokens,
                info.precision,
                reference=lambda text: exact.classify([text])[0],
                known=dict(form.known),
            )
            check.run(classifier(throughput, None).classify)
        if exits:
            classifier = functools.partial(classifier, exit_confidence=exits.confidence)
        # A single stream has all the cores already.
        latency = (
            LatencyForm(functools.partial(compiled, streams=1, threads=cores))
            if replicas > 1
            else None
        )

        def new_classifier() -> Classifier:
            # A hung stream holds a lock that other requests of its compiled model may wait for.
            return classifier(compiled(streams=1, threads=max(1, cores // replicas)), latency)

        return LoadedModel(
            info,
            [classifier(throughput, latency) for _ in range(replicas)],
            new_classifier,
            OffsetReader(form.tokenizer),
        )

    return find_serving_form(artifact, load, name=folder.name)
