"""Convert a torch model to OpenVINO's form."""

from __future__ import annotations

import inspect
import time
import warnings
from typing import TYPE_CHECKING, Any

import openvino
import structlog

from valence_service.backends import torch_model
from valence_service.backends.artifact import InputSpec, ModelArtifact
from valence_service.backends.source import CannotConvert

if TYPE_CHECKING:
    from valence_service.backends.source import ModelFolder

log = structlog.get_logger()


def convert(folder: ModelFolder) -> ModelArtifact:
    """Trace the folder's model. Block for seconds, and log each step.

    Raise ModelUnusable, or CannotConvert where another engine may still compute the model.
    """
    started = time.monotonic()
    log.info("converting", model=folder.name, step="1 of 2: reading the weights")
    model, tokenizer = torch_model.read_model(folder)
    if not getattr(tokenizer, "is_fast", False):
        raise CannotConvert(
            f"{folder.name} has no fast tokenizer, and the openvino engine needs one: "
            "--engine pipeline"
        )
    log.info("converting", model=folder.name, step="2 of 2: tracing the computation")
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
    log.info("converted", model=folder.name, seconds=round(time.monotonic() - started, 1))
    input_spec = InputSpec(
        max_tokens=torch_model.max_tokens(model, tokenizer),
        pad_id=model.config.pad_token_id if padded else None,
        pad_left=tokenizer.padding_side == "left",
    )
    return ModelArtifact(converted, tokenizer.backend_tokenizer.to_str(), input_spec)


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
