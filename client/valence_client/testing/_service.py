"""A service of the contract on a real socket."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from valence_client.errors import ValenceError
from valence_client.results import Label, Limits, ModelInfo, Polarity
from valence_client.testing._answers import REVISION, answer_to
from valence_client.testing._health import health_handler
from valence_client.testing._servicer import Servicer, invalid

if TYPE_CHECKING:
    from typing import Self

    from valence_client.results import Sentiment
    from valence_client.testing._answers import Answers

MODEL = ModelInfo(
    name="fake",
    revision=REVISION,
    labels=(
        Label("NEGATIVE", Polarity.NEGATIVE, -1.0),
        Label("POSITIVE", Polarity.POSITIVE, 1.0),
    ),
    limits=Limits(max_text_bytes=65536, max_tokens=256, max_batch_texts=64, max_id_bytes=256),
    engine="fake",
    precision="f32",
    device="cpu",
    engine_reason="",
)
"""What GetModel says where nothing else is given."""

# A stream holds its thread for as long as it lasts.
MAX_CALLS = 64


class FakeService:
    """Serves from ``with`` to its end; ``address`` is where. Clients of any language may ask it.

    Like the real one it refuses texts that are blank, too long or too many; a word is a token.
    """

    def __init__(self, answers: Answers = 1.0, *, model: ModelInfo = MODEL) -> None:
        """``answers``: for every text, by text, or what gives one for a text. See Answers."""
        self.answers = answers
        """May be changed at any time."""
        self.model = model
        self.texts: list[str] = []
        """Those that it was asked, in order."""
        self.address = ""
        self._failures: list[ValenceError] = []
        self._server = grpc.server(
            ThreadPoolExecutor(MAX_CALLS, "fake-valence"), options=[("grpc.so_reuseport", 0)]
        )
        sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Servicer(self), self._server)
        self._server.add_generic_rpc_handlers((health_handler(),))

    def fail(self, error: ValenceError, *, calls: int = 1) -> None:
        """Let so many calls that come next fail as a whole, each attempt of a retry being one."""
        self._failures += [error] * calls

    def __enter__(self) -> Self:
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()

    def next_failure(self) -> ValenceError | None:
        """How the call that has just come is to fail."""
        return self._failures.pop(0) if self._failures else None

    def answer(self, text: str, field: str, overlength: pb.Overlength.ValueType) -> Sentiment:
        """The answer to a text. Raises ValenceError."""
        self.texts.append(text)
        limits = self.model.limits
        if not text.strip():
            raise invalid(field, "is empty or only white space")
        if (size := len(text.encode())) > limits.max_text_bytes:
            raise invalid(field, f"has {size} bytes, over the limit of {limits.max_text_bytes}")
        tokens = len(text.split())
        if tokens > limits.max_tokens and overlength == pb.OVERLENGTH_REJECT:
            raise invalid(field, f"has {tokens} tokens, over the limit of {limits.max_tokens}")
        answer = answer_to(text, self.answers)
        if isinstance(answer, ValenceError):
            raise answer
        if answer.tokens_total:
            return answer
        return dataclasses.replace(
            answer,
            tokens_total=tokens,
            tokens_used=min(tokens, limits.max_tokens),
            truncated=tokens > limits.max_tokens,
        )
