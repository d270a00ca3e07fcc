"""A model in OpenVINO's form, and how to read one that its folder carries ready-made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import openvino
from tokenizers import Tokenizer

from valence_service.backends.integrity import check_file
from valence_service.backends.source import (
    ModelFolder,
    ModelUnusable,
    check_vocabulary,
    least_limit,
    max_positions,
)
from valence_service.backends.stages import exits_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

XML = "openvino_model.xml"
INT8_XML = "openvino_model_qint8.xml"
# The inputs that the engine fills in.
INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
# Model families that number the positions of tokens from the padding token's id on.
_OFFSET_FAMILIES = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The facts of a model's input that neither its tokenizer's file nor its graph holds."""

    max_tokens: int
    """The most tokens of a text that the model reads, its special tokens included."""
    pad_id: int | None
    """The token that pads the shorter texts of a micro-batch; None: one text a micro-batch."""
    pad_left: bool


@dataclass(frozen=True, slots=True)
class ModelArtifact:
    """A model that OpenVINO can compile, with its tokenizer and input spec."""

    model: openvino.Model
    tokenizer: str
    """The content of tokenizer.json."""
    input_spec: InputSpec
    exits: tuple[int, ...] = ()
    """The layers after which texts may leave: its graph has a head there."""
    known: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    """The scores that torch gave to some texts, for the self-check of each start."""

    def reading(self, max_tokens: int) -> ModelArtifact:
        """Return the artifact with no more than max_tokens read of a text."""
        least = min(max_tokens, self.input_spec.max_tokens)
        spec = dataclasses.replace(self.input_spec, max_tokens=least)
        return dataclasses.replace(self, input_spec=spec)

    def one_by_one(self) -> ModelArtifact:
        """Return the artifact with a micro-batch for each text, as wide as the text."""
        spec = dataclasses.replace(self.input_spec, pad_id=None)
        return dataclasses.replace(self, input_spec=spec)


def int8_xml(folder: ModelFolder) -> Path | None:
    """Return the int8 form that a model's folder carries, if it carries one."""
    return next(_ready_made(folder, INT8_XML), None)


def read_ready_made(
    folder: ModelFolder, precision: str, exits: tuple[int, ...] = ()
) -> ModelArtifact | None:
    """Read the artifact that the folder carries for a precision; None where it carries none.

    It has those of the exits for which its graph has a head. Raise ModelUnusable where it is
    broken.
    """
    xml = next(_ready_made(folder, INT8_XML if precision == "int8" else XML), None)
    if xml is None:
        return None
    path = folder.path / "tokenizer.json"
    try:
        for file in (xml, xml.with_suffix(".bin"), path):
            check_file(file)
        content = path.read_text(encoding="utf-8")
        tokenizer, graph = Tokenizer.from_str(content), read_graph(xml)
        check_vocabulary(tokenizer.get_vocab_size(with_added_tokens=False), folder)
        _check_graph(graph, xml, folder)
        spec = _input_spec(folder, tokenizer)
        return ModelArtifact(graph, content, spec, exits_in(graph, exits))
    except ModelUnusable:
        raise
    except Exception as error:
        # tokenizers raises plain Exception, openvino RuntimeError.
        reason = " ".join(str(error).split())[:300]
        raise ModelUnusable(f"cannot read {xml} with {path.name}: {reason}") from error


def read_graph(xml: Path) -> openvino.Model:
    """Read a graph and map its weights: processes of one machine share their memory."""
    return openvino.Core().read_model(xml)


def _check_graph(graph: openvino.Model, xml: Path, folder: ModelFolder) -> None:
    """Raise ModelUnusable unless a graph computes a score for each label from a text's tokens."""
    strange = {port.get_any_name() for port in graph.inputs} - INPUTS
    if strange:
        raise ModelUnusable(
            f"{xml} has the input {min(strange)}: export it with {', '.join(sorted(INPUTS))} alone"
        )
    shape, labels = graph.output(0).get_partial_shape(), len(folder.label_names)
    # A model of embeddings computes a vector for each token, or one of hundreds of numbers.
    if len(shape) != 2 or (shape[1].is_static and shape[1].get_length() != labels):  # noqa: PLR2004
        raise ModelUnusable(
            f"{xml} computes an output of shape {shape}, not a score for each of the {labels} "
            "labels of config.json: export a text classifier, and name its labels in id2label"
        )


def _ready_made(folder: ModelFolder, file: str) -> Iterator[Path]:
    """Yield where exporters put OpenVINO's form: beside the weights, or in a folder of its own."""
    for path in (folder.path / "openvino" / file, folder.path / file):
        if path.exists():
            yield path


def _input_spec(folder: ModelFolder, tokenizer: Tokenizer) -> InputSpec:
    """Derive the input spec from the configuration files."""
    config, settings = folder.config, folder.tokenizer_config
    offset = config.get("model_type") in _OFFSET_FAMILIES
    positions = max_positions(config, unused=config.get("pad_token_id", 1) + 1 if offset else 0)
    pad = settings.get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    pad_id = config.get("pad_token_id", tokenizer.token_to_id(pad) if pad else None)
    return InputSpec(
        max_tokens=least_limit((positions, settings.get("model_max_length"))),
        pad_id=None if pad_id == -1 else pad_id,
        pad_left=settings.get("padding_side") == "left",
    )
