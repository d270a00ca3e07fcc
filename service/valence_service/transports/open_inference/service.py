"""The calls of inference.GRPCInferenceService."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from valence_service.core.call import current_call
from valence_service.core.errors import InvalidField, ModelFailed, UnknownModel
from valence_service.serving.options import Overlength
from valence_service.serving.validation import check_id
from valence_service.transports.open_inference import open_inference_pb2 as pb
from valence_service.transports.open_inference.inputs import INPUT, read_texts, shown
from valence_service.transports.open_inference.outputs import ModelTensors
from valence_service.transports.unary import UnaryMethod, UnaryService, admit_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.message import Message

    from valence_service.core.readiness import Readiness
    from valence_service.core.sentiment import Answer, Sentiment
    from valence_service.serving.service import SentimentService

_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
SERVER_NAME = "valence"
_VERSION = version("valence-service")
# Of Triton's extensions. Its model_repository would also load and unload models.
EXTENSIONS = ("model_configuration",)
# Not ModelReady: it tells which names models have.
HEALTH = ("ServerLive", "ServerReady")


class OpenInference:
    """Answers messages with messages. Each method belongs to the call under way."""

    def __init__(self, service: SentimentService, readiness: Readiness) -> None:
        self._service = service
        self._readiness = readiness
        self._last_tensors: ModelTensors | None = None

    def describe(self) -> UnaryService:
        """Return the service, for a transport to carry."""
        answers: dict[str, Callable[[Any], Awaitable[Message]]] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.infer,
            "ModelConfig": self.model_config,
            "RepositoryIndex": self.repository_index,
        }
        methods = [
            UnaryMethod(
                name,
                answer,
                getattr(pb, f"{name}Request"),
                getattr(pb, f"{name}Response"),
                admit=self._service.check_ready if name == "ModelInfer" else admit_all,
                is_health=name in HEALTH,
            )
            for name, answer in answers.items()
        ]
        return UnaryService(_SERVICE.full_name, methods, pb.DESCRIPTOR)

    async def server_live(self, _: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        """Say that the server answers."""
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, _: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        """Say whether the service is ready for calls."""
        return pb.ServerReadyResponse(ready=self._readiness.serving)

    async def model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        """Say whether the model is ready. Raise UnknownModel where another one is."""
        if self._readiness.serving:
            self._tensors(request.name, request.version)
        return pb.ModelReadyResponse(ready=self._readiness.serving)

    async def server_metadata(self, _: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        """Say which server this is."""
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=_VERSION, extensions=EXTENSIONS)

    async def model_metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        """Say which tensors the model takes and gives."""
        return self._tensors(request.name, request.version).metadata

    async def model_config(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        """Say the same in the form of Triton's configuration, which its tools read."""
        return pb.ModelConfigResponse(config=self._tensors(request.name, request.version).config)

    async def repository_index(
        self, request: pb.RepositoryIndexRequest
    ) -> pb.RepositoryIndexResponse:
        """List the model, while it is ready."""
        if request.repository_name:
            name = shown(request.repository_name)
            raise InvalidField("repository_name", f"is {name}: the one repository has no name")
        response = pb.RepositoryIndexResponse()
        if self._readiness.serving:
            info = self._service.model()
            response.models.add(name=info.name, version=info.revision, state="READY")
        return response

    async def infer(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        """Answer all texts of the request, or raise the first error among them."""
        tensors = self._tensors(request.model_name, request.model_version, prefix="model_")
        check_id(request.id, self._service.limits)
        outputs = tensors.requested(request.outputs)
        texts = read_texts(request, self._service.limits)
        results = await self._service.classify_batch(current_call(), texts, Overlength.TRUNCATE)
        return tensors.response(
            outputs,
            _sentiments(results),
            request_id=request.id,
            raw=bool(request.raw_input_contents),
        )

    def _tensors(self, name: str, revision: str, *, prefix: str = "") -> ModelTensors:
        """Return the tensors of the model that answers now. Raise Unavailable or UnknownModel."""
        info = self._service.model()
        if name != info.name:
            raise UnknownModel(
                f"{prefix}name: no model {shown(name)} is served here: there is {info.name!r}"
            )
        if revision not in ("", info.revision):
            raise UnknownModel(
                f"{prefix}version: {info.name!r} has no version {shown(revision)} here: there is "
                f"{info.revision!r}"
            )
        if self._last_tensors is None or self._last_tensors.info is not info:
            self._last_tensors = ModelTensors(info)
        return self._last_tensors


def _sentiments(results: Sequence[Answer | Exception]) -> list[Sentiment]:
    """Return the sentiment of each text. Raise the first error: a tensor has no place for one."""
    sentiments = []
    for index, result in enumerate(results):
        if isinstance(result, ModelFailed):
            raise ModelFailed(f"{INPUT}[{index}]: {result}") from result.__cause__
        if isinstance(result, Exception):
            raise result
        sentiments.append(result.sentiment)
    return sentiments
