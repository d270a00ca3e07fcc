"""Load a model's folder as pipelines, one for each replica."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import structlog
import torch

from valence_service.backends import torch_model
from valence_service.backends.model_source import model_info
from valence_service.backends.pipeline import PipelineClassifier, build_pipeline
from valence_service.backends.self_check import SelfCheck, WrongAnswers
from valence_service.backends.source import ModelUnusable, check_unchanged
from valence_service.backends.token_reader import OffsetReader
from valence_service.backends.unknown_tokens import UnknownTokens
from valence_service.core.classifier import LoadedModel

if TYPE_CHECKING:
    from valence_service.backends.model_source import ModelSource
    from valence_service.backends.selection import ExecutionPlan
    from valence_service.backends.source import ModelFolder
    from valence_service.core.classifier import Classifier

log = structlog.get_logger()


def load_pipelines(
    source: ModelSource,
    folder: ModelFolder,
    plan: ExecutionPlan,
    *,
    replicas: int,
    cores: int,
    max_micro_batch_tokens: int,
) -> LoadedModel:
    """Return pipelines that share so many cores. Raise ModelUnusable."""
    # The replicas compute at once, and share the cores.
    torch.set_num_threads(max(1, cores // replicas))
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[plan.precision]

    def read(*, one_by_one: bool = False) -> PipelineClassifier:
        model, tokenizer = torch_model.read_model(folder, dtype=dtype)
        info = model_info(source, folder, plan, torch_model.max_tokens(model, tokenizer))
        return PipelineClassifier(
            info,
            build_pipeline(model, tokenizer, plan.device),
            max_micro_batch_tokens,
            UnknownTokens.of_transformers(tokenizer),
            one_by_one=one_by_one or not torch_model.pads(model, tokenizer),
        )

    first = read()
    if source.self_check:
        first = _checked(first)

    def new_classifier() -> Classifier:
        check_unchanged(folder)  # all replicas compute the same weights
        return read(one_by_one=first.one_by_one)

    others = [read(one_by_one=first.one_by_one) for _ in range(replicas - 1)]
    reader = OffsetReader.of_transformers(first.pipeline.tokenizer)
    return LoadedModel(first.info, [first, *others], new_classifier, reader)


def _checked(classifier: PipelineClassifier) -> PipelineClassifier:
    """Return the classifier as it answers right. Raise ModelUnusable."""
    info = classifier.info
    alone = dataclasses.replace(classifier, one_by_one=True)
    check = SelfCheck(
        info.max_tokens, info.precision, reference=lambda text: alone.classify([text])[0]
    )
    try:
        check.run(classifier.classify)
        return classifier
    except WrongAnswers as error:
        reason = str(error)
    if not classifier.one_by_one:
        try:
            check.run(alone.classify)
        except WrongAnswers as error:
            reason = str(error)
        else:
            log.warning("one_text_at_a_time", model=info.name, reason=reason)
            return alone
    raise ModelUnusable(f"{info.name} cannot be served, since its answers are wrong: {reason}")
