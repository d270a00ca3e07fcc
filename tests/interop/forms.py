"""The forms that a text can be sent in, each as its own clients send it, and what comes back."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import grpc
import httpx2 as httpx
from google.protobuf import json_format
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from valence.v1 import sentiment_pb2 as pb
from valence_service.transports.http.errors import code_name
from valence_service.transports.open_inference import open_inference_pb2 as oip

from tests.support.errors import Told

SERVICE = "valence.v1.SentimentService"
OPEN_INFERENCE = "inference.GRPCInferenceService"
JSON = "application/json"


@dataclass(frozen=True)
class Score:
    """The top label of a text."""

    label: str
    score: float


@dataclass(frozen=True)
class Failed:
    """The kind of an error: its canonical code and its reason."""

    code: str
    reason: str


Outcome: TypeAlias = Score | Failed


@dataclass
class Target:
    """A server, and its model."""

    channel: grpc.Channel
    http: httpx.Client
    model: str


class Form:
    """A way to ask. ``one`` sends a text, ``several`` some at once, ``raw`` a body as it is."""

    no_time: ClassVar[dict[str, str]] = {"connect-timeout-ms": "0"}
    """Headers of a call whose deadline has passed."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.headers: dict[str, str] = {}

    def one(self, text: str) -> Outcome:
        raise NotImplementedError

    def several(self, texts: Sequence[str]) -> list[Outcome] | Failed:
        raise NotImplementedError

    def raw(self, body: bytes) -> Outcome:
        raise NotImplementedError


class Grpc(Form):
    """A stub of the contract."""

    def one(self, text: str) -> Outcome:
        return self.raw(pb.ClassifyRequest(text=text).SerializeToString())

    def raw(self, body: bytes) -> Outcome:
        answer = _call(self.target.channel, f"/{SERVICE}/Classify", body)
        if isinstance(answer, Failed):
            return answer
        return _score(pb.ClassifyResponse.FromString(answer).sentiment)

    def several(self, texts: Sequence[str]) -> list[Outcome] | Failed:
        body = pb.BatchClassifyRequest(texts=texts).SerializeToString()
        answer = _call(self.target.channel, f"/{SERVICE}/BatchClassify", body)
        return answer if isinstance(answer, Failed) else _results(answer)


class ConnectBinary(Form):
    """Connect, in Protocol Buffers."""

    media_type = "application/proto"

    def one(self, text: str) -> Outcome:
        return self.raw(self.packed(pb.ClassifyRequest(text=text)))

    def raw(self, body: bytes) -> Outcome:
        answer = self.call("Classify", body)
        if isinstance(answer, Failed):
            return answer
        return _score(self.unpacked(answer, pb.ClassifyResponse()).sentiment)

    def several(self, texts: Sequence[str]) -> list[Outcome] | Failed:
        answer = self.call("BatchClassify", self.packed(pb.BatchClassifyRequest(texts=texts)))
        if isinstance(answer, Failed):
            return answer
        return _results(self.unpacked(answer, pb.BatchClassifyResponse()).SerializeToString())

    def call(self, method: str, body: bytes) -> bytes | Failed:
        path = f"/{SERVICE}/{method}"
        response = _post(self, path, body, self.media_type)
        return response if isinstance(response, Failed) else response.content

    def packed(self, message: Any) -> bytes:
        data: bytes = message.SerializeToString()
        return data

    def unpacked(self, data: bytes, message: Any) -> Any:
        message.ParseFromString(data)
        return message


class ConnectJson(ConnectBinary):
    """Connect, in Protocol Buffers' JSON."""

    media_type = JSON

    def packed(self, message: Any) -> bytes:
        return json_format.MessageToJson(message).encode()

    def unpacked(self, data: bytes, message: Any) -> Any:
        return json_format.Parse(data, message)


class GrpcWeb(ConnectBinary):
    """gRPC-Web: frames of gRPC, the trailers among them."""

    no_time: ClassVar[dict[str, str]] = {"grpc-timeout": "0n"}

    def call(self, method: str, body: bytes) -> bytes | Failed:
        headers = {"content-type": "application/grpc-web+proto"} | self.headers
        framed = struct.pack(">BI", 0, len(body)) + body
        response = self.target.http.post(f"/{SERVICE}/{method}", content=framed, headers=headers)
        assert response.status_code == 200
        data, trailers, rest = b"", dict(response.headers), response.content
        while rest:
            flags, size = struct.unpack_from(">BI", rest)
            frame, rest = rest[5 : 5 + size], rest[5 + size :]
            if flags & 0x80:
                lines = frame.decode().strip().splitlines()
                trailers |= {
                    name: value.strip() for name, value in (x.split(":", 1) for x in lines)
                }
            else:
                data = frame
        if trailers["grpc-status"] == "0":
            return data
        return _failed(Status.FromString(_unpadded(trailers["grpc-status-details-bin"])))


class Analyze(Form):
    """The tutorial's form."""

    def one(self, text: str) -> Outcome:
        return self.raw(json.dumps({"text": text}).encode())

    def raw(self, body: bytes) -> Outcome:
        response = _post(self, "/analyze", body, JSON)
        return response if isinstance(response, Failed) else Score(**response.json())


class HuggingFace(Form):
    """The form of Hugging Face's servers."""

    def one(self, text: str) -> Outcome:
        return self.raw(json.dumps({"inputs": text}).encode())

    def raw(self, body: bytes) -> Outcome:
        answers = self.infer(body)
        return answers if isinstance(answers, Failed) else answers[0]

    def several(self, texts: Sequence[str]) -> list[Outcome] | Failed:
        return self.infer(json.dumps({"inputs": list(texts)}).encode())

    def infer(self, body: bytes) -> list[Outcome] | Failed:
        path = f"/models/{self.target.model}"
        response = _post(self, path, body, JSON)
        if isinstance(response, Failed):
            return response
        return [Score(**labels[0]) for labels in response.json()]


class Lines(Form):
    """A stream as lines of JSON."""

    def one(self, text: str) -> Outcome:
        answers = self.stream(json.dumps(text).encode())
        return answers if isinstance(answers, Failed) else answers[0]

    def raw(self, body: bytes) -> Outcome:
        answers = self.stream(body.replace(b"\n", b" "))
        return answers if isinstance(answers, Failed) else answers[0]

    def several(self, texts: Sequence[str]) -> list[Outcome] | Failed:
        return self.stream(b"".join(json.dumps(text).encode() + b"\n" for text in texts))

    def stream(self, body: bytes) -> list[Outcome] | Failed:
        response = _post(self, "/v1/stream", body, "application/x-ndjson")
        if isinstance(response, Failed):
            return response
        *lines, end = map(json.loads, response.text.splitlines())
        assert end["end"]["complete"]
        return [
            _told(line["error"])
            if "error" in line
            else Score(line["sentiment"]["label"], line["sentiment"]["score"])
            for line in lines
        ]


class OpenInference(Form):
    """The Open Inference Protocol, its tensors raw."""

    def one(self, text: str) -> Outcome:
        answers = self.infer([text.encode()])
        return answers if isinstance(answers, Failed) else answers[0]

    def raw(self, body: bytes) -> Outcome:
        answers = self.infer([body])
        return answers if isinstance(answers, Failed) else answers[0]

    def several(self, texts: Sequence[str]) -> list[Outcome] | Failed:
        return self.infer([text.encode() for text in texts])

    def infer(self, elements: Sequence[bytes]) -> list[Outcome] | Failed:
        request = oip.ModelInferRequest(model_name=self.target.model)
        request.inputs.add(name="text", datatype="BYTES", shape=[len(elements)])
        raw = b"".join(struct.pack("<I", len(element)) + element for element in elements)
        request.raw_input_contents.append(raw)
        path = f"/{OPEN_INFERENCE}/ModelInfer"
        body = request.SerializeToString()
        answer = _call(self.target.channel, path, body)
        if isinstance(answer, Failed):
            return answer
        response = oip.ModelInferResponse.FromString(answer)
        names = [output.name for output in response.outputs]
        raw_labels, raw_scores = (
            response.raw_output_contents[names.index(name)] for name in ("label", "score")
        )
        labels = []
        while raw_labels:
            (size,) = struct.unpack_from("<I", raw_labels)
            labels.append(raw_labels[4 : 4 + size].decode())
            raw_labels = raw_labels[4 + size :]
        scores = struct.unpack(f"<{len(labels)}f", raw_scores)
        return [Score(*found) for found in zip(labels, scores, strict=True)]


FORMS: dict[str, Callable[[Target], Form]] = {
    "grpc": Grpc,
    "connect-json": ConnectJson,
    "connect-binary": ConnectBinary,
    "grpc-web": GrpcWeb,
    "analyze": Analyze,
    "ndjson": Lines,
    "open-inference": OpenInference,
    "hugging-face": HuggingFace,
}


def _call(channel: grpc.Channel, path: str, body: bytes) -> bytes | Failed:
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    try:
        return method(body, timeout=60)
    except grpc.RpcError as error:
        call: Any = error  # as every error of a call is
        trailers = dict(call.trailing_metadata())
        return _failed(Status.FromString(trailers["grpc-status-details-bin"]))


def _post(form: Form, path: str, body: bytes, media_type: str) -> httpx.Response | Failed:
    headers = {"content-type": media_type} | form.headers
    response = form.target.http.post(path, content=body, headers=headers)
    return response if response.status_code == 200 else _told(response.json())


def _score(sentiment: pb.Sentiment) -> Score:
    return Score(sentiment.label, sentiment.score)


def _results(data: bytes) -> list[Outcome]:
    return [
        _failed(result.error) if result.HasField("error") else _score(result.sentiment)
        for result in pb.BatchClassifyResponse.FromString(data).results
    ]


def _failed(status: Status) -> Failed:
    return Failed(code_name(status.code), Told(status).reason)


def _told(error: dict[str, Any]) -> Failed:
    """The kind of an error in Connect's form."""
    packed = next(d["value"] for d in error["details"] if d["type"] == "google.rpc.ErrorInfo")
    return Failed(error["code"], ErrorInfo.FromString(_unpadded(packed)).reason)


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
