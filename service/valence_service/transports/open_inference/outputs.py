"""The tensors of one model: their description, and sentiments as tensors."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from valence_service.core.errors import InvalidField
from valence_service.transports.open_inference import open_inference_pb2 as pb
from valence_service.transports.open_inference.inputs import BYTES, INPUT, LENGTH, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from valence_service.core.sentiment import ModelInfo, Sentiment

FP32 = "FP32"
BACKEND = "valence"
_CONFIG_TYPES = {BYTES: pb.TYPE_STRING, FP32: pb.TYPE_FP32}
# What changes the form of an output, and is not done here.
_UNSUPPORTED = {
    "shared_memory_region": "names shared memory, which is not written: take the output itself",
    "classification": "asks for classes as strings: take the outputs label and scores",
}


@dataclass(frozen=True, slots=True)
class Output:
    """One output: what it holds of the sentiments, in row-major order."""

    name: str
    datatype: str
    values: Callable[[Sequence[Sentiment]], list[Any]]
    columns: tuple[int, ...] = ()
    """The shape of one text's part."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of any number of texts."""
        return (-1, *self.columns)


class ModelTensors:
    """Describes and makes the tensors of one model."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self._labels = [label.name for label in info.labels]
        self._outputs = self._make_outputs()
        self.metadata = self._describe()
        self.config = self._configure()

    def requested(
        self, requests: Sequence[pb.ModelInferRequest.InferRequestedOutputTensor]
    ) -> list[Output]:
        """Return the outputs that a request names; all where it names none. Raise InvalidField."""
        outputs: dict[str, Output] = {}
        for index, request in enumerate(requests):
            field = f"outputs[{index}].name"
            output = self._outputs.get(request.name)
            if output is None:
                raise InvalidField(field, self._no_output(request.name))
            if request.name in outputs:
                raise InvalidField(field, f"is {request.name!r} again: name each output once")
            for parameter, description in _UNSUPPORTED.items():
                if parameter in request.parameters:
                    raise InvalidField(f"outputs[{index}].parameters", description)
            outputs[request.name] = output
        return list((outputs or self._outputs).values())

    def response(
        self,
        outputs: Sequence[Output],
        sentiments: Sequence[Sentiment],
        *,
        request_id: str,
        raw: bool,
    ) -> pb.ModelInferResponse:
        """Return the response: raw tensors where the request's were, else typed ones."""
        response = pb.ModelInferResponse(
            model_name=self.info.name, model_version=self.info.revision, id=request_id
        )
        for output in outputs:
            tensor = response.outputs.add(
                name=output.name,
                datatype=output.datatype,
                shape=[len(sentiments), *output.columns],
            )
            if output.name == "scores":
                # No field of the protocol names a tensor's columns.
                tensor.parameters["labels"].string_param = json.dumps(self._labels)
            values = output.values(sentiments)
            if raw:
                response.raw_output_contents.append(_ENCODERS[output.datatype](values))
            elif output.datatype == BYTES:
                tensor.contents.bytes_contents.extend(values)
            else:
                tensor.contents.fp32_contents.extend(values)
        return response

    def _make_outputs(self) -> Mapping[str, Output]:
        outputs = [
            Output("label", BYTES, lambda all_: [s.scores[0].label.encode() for s in all_]),
            Output("score", FP32, lambda all_: [s.scores[0].score for s in all_]),
        ]
        if all(label.valence is not None for label in self.info.labels):
            outputs.append(Output("valence", FP32, lambda all_: [_valence(s) for s in all_]))
        # By name: two labels that share one cannot be told apart.
        if len(set(self._labels)) == len(self._labels):
            outputs.append(Output("scores", FP32, self._scores, columns=(len(self._labels),)))
        return {output.name: output for output in outputs}

    def _scores(self, sentiments: Sequence[Sentiment]) -> list[float]:
        """Return each text's scores in the model's order of labels."""
        values = []
        for sentiment in sentiments:
            by_label = {score.label: score.score for score in sentiment.scores}
            values += [by_label[label] for label in self._labels]
        return values

    def _no_output(self, name: str) -> str:
        if name == "valence":
            return "is 'valence', which needs labels that tell it: see --label-valence"
        return f"is {shown(name)}: there are {', '.join(self._outputs)}"

    def _describe(self) -> pb.ModelMetadataResponse:
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=self.info.name,
            versions=[self.info.revision],
            platform=self._platform,
            inputs=[tensor(name=INPUT, datatype=BYTES, shape=[-1])],
            outputs=[
                tensor(name=output.name, datatype=output.datatype, shape=output.shape)
                for output in self._outputs.values()
            ],
        )

    def _configure(self) -> pb.ModelConfig:
        return pb.ModelConfig(
            name=self.info.name,
            platform=self._platform,
            backend=BACKEND,
            input=[pb.ModelInput(name=INPUT, data_type=pb.TYPE_STRING, dims=[-1])],
            output=[
                pb.ModelOutput(
                    name=output.name, data_type=_CONFIG_TYPES[output.datatype], dims=output.shape
                )
                for output in self._outputs.values()
            ],
        )

    @property
    def _platform(self) -> str:
        return f"{BACKEND}_{self.info.engine}"


def _valence(sentiment: Sentiment) -> float:
    """Return a text's valence; NaN where the contract leaves it unset."""
    return math.nan if sentiment.valence is None else sentiment.valence


def _encode_bytes(values: Sequence[bytes]) -> bytes:
    return b"".join(LENGTH.pack(len(value)) + value for value in values)


def _encode_floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


_ENCODERS: Mapping[str, Callable[[Any], bytes]] = {BYTES: _encode_bytes, FP32: _encode_floats}
