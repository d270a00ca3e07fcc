"""Convert a torch model to OpenVINO's form."""

from __future__ import annotations

import dataclasses
import inspect
import time
import warnings
from typing import TYPE_CHECKING, Any

import openvino
import structlog

from valence_service.backends import torch_model
from valence_service.backends.artifact import InputSpec, ModelArtifact
from valence_service.backends.compiled import compile_model
from valence_service.backends.labels import read_labels
from valence_service.backends.openvino import MAX_MICRO_BATCH_TOKENS, OpenVinoClassifier
from valence_service.backends.pipeline import PipelineClassifier, build_pipeline
from valence_service.backends.self_check import MAX_CONVERSION_SECONDS, SelfCheck
from valence_service.backends.serving_form import find_serving_form
from valence_service.backends.source import CannotConvert
from valence_service.backends.unknown_tokens import UnknownTokens
from valence_service.core.sentiment import ModelInfo
from valence_service.process import usable_cores

if TYPE_CHECKING:
    from valence_service.backends.source import ModelFolder

log = structlog.get_logger()


def convert(folder: ModelFolder, *, check_tokens: int | None) -> ModelArtifact:
    """Trace the folder's model. Block for seconds, and log each step.

    Return it in the form that answers like torch, on texts of up to check_tokens; None: unchecked.
    Raise ModelUnusable, or CannotConvert where another engine may still compute the model.
    """
    started = time.monotonic()
    log.info("converting", model=folder.name, step="1 of 3: reading the weights")
    model, tokenizer = torch_model.read_model(folder)
    if not getattr(tokenizer, "is_fast", False):
        raise CannotConvert(
            f"{folder.name} has no fast tokenizer, and the openvino engine needs one: "
            "--engine pipeline"
        )
    log.info("converting", model=folder.name, step="2 of 3: tracing the computation")
    padded = torch_model.pads(model, tokenizer)
    model.config.use_cache = False  # decoders would return what only generation needs
    try:
        with warnings.catch_warnings():
            # The tracer warns where Python branches on shapes. Tests compare its results.
            warnings.simplefilter("ignore")
            converted = openvino.convert_model(
                model, example_input=_example(model, tokenizer, padded=padded)
            )
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise CannotConvert(
            f"OpenVINO cannot convert {folder.name}: --engine pipeline computes it ({reason})"
        ) from error
    input_spec = InputSpec(
        max_tokens=torch_model.max_tokens(model, tokenizer),
        pad_id=model.config.pad_token_id if padded else None,
        pad_left=tokenizer.padding_side == "left",
    )
    artifact = ModelArtifact(converted, tokenizer.backend_tokenizer.to_str(), input_spec)
    if check_tokens is not None:
        log.info("converting", model=folder.name, step="3 of 3: comparing its answers with torch's")
        artifact = _checked(artifact, folder, model, tokenizer, max_tokens=check_tokens)
    log.info("converted", model=folder.name, seconds=round(time.monotonic() - started, 1))
    return artifact


def _checked(
    artifact: ModelArtifact, folder: ModelFolder, model: Any, tokenizer: Any, *, max_tokens: int
) -> ModelArtifact:
    """Return the form that answers like torch, with torch's answers. Raise CannotConvert."""
    info = ModelInfo(
        name=folder.name,
        revision=folder.revision,
        labels=read_labels(folder.label_names, {}),
        max_tokens=artifact.reading(max_tokens).input_spec.max_tokens,
        engine="openvino",
        precision="f32",
        device="cpu",
    )
    reference = PipelineClassifier(
        info,
        build_pipeline(model, tokenizer, "cpu"),
        info.max_tokens,
        UnknownTokens.of_transformers(tokenizer),
        one_by_one=True,
    )
    check = SelfCheck(info.max_tokens, "f32", reference=lambda text: reference.classify([text])[0])

    def compare(form: ModelArtifact) -> ModelArtifact:
        classifier = OpenVinoClassifier(
            info,
            compile_model(form.reading(max_tokens), "f32", streams=1, threads=usable_cores().count),
            None,
            form,
            activation=folder.activation,
            max_micro_batch_tokens=MAX_MICRO_BATCH_TOKENS,
        )
        check.run(classifier.classify, max_seconds=MAX_CONVERSION_SECONDS)
        return dataclasses.replace(form, known=check.known)

    return find_serving_form(artifact, compare, name=folder.name)


def _example(model: Any, tokenizer: Any, *, padded: bool) -> dict[str, Any]:
    """Return inputs of two lengths: the tracer takes what does not vary for a constant."""
    texts = ["One text.", "And another one, which is longer."] if padded else ["One text."]
    encoded = tokenizer(texts, padding=padded, return_tensors="pt")
    taken = inspect.signature(model.forward).parameters
    return {
        name: values
        for name, values in encoded.items()
        # The model fills in token types of zero by itself.
        if name in taken and (name != "token_type_ids" or values.any())
    }
