"""The client of the Valence sentiment service."""

from valence_client import _core_log  # noqa: F401  before the first import of grpc
from valence_client.aio import AsyncClient
from valence_client.errors import (
    DeadlineExceeded,
    InvalidText,
    ModelFailed,
    Overloaded,
    PermissionDenied,
    ServerFailed,
    Unauthenticated,
    Unavailable,
    ValenceError,
)
from valence_client.results import (
    Document,
    Label,
    LabelScore,
    Limits,
    ModelInfo,
    ModelRef,
    Outcome,
    Polarity,
    Sentence,
    Sentiment,
    StreamItem,
    Timings,
    Windows,
)
from valence_client.sync import Client

__all__ = [
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "Document",
    "InvalidText",
    "Label",
    "LabelScore",
    "Limits",
    "ModelFailed",
    "ModelInfo",
    "ModelRef",
    "Outcome",
    "Overloaded",
    "PermissionDenied",
    "Polarity",
    "Sentence",
    "Sentiment",
    "ServerFailed",
    "StreamItem",
    "Timings",
    "Unauthenticated",
    "Unavailable",
    "ValenceError",
    "Windows",
]
