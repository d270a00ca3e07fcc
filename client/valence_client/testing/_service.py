"""A service of the contract on a real socket."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
from valence.v1 import sentiment_pb2_grpc

from valence_client.testing._behaviour import MODEL, Behaviour
from valence_client.testing._health import health_handler
from valence_client.testing._servicer import Servicer

if TYPE_CHECKING:
    from typing import Self

    from valence_client.results import ModelInfo
    from valence_client.testing._answers import Answers

# A stream holds its thread for as long as it lasts.
MAX_CALLS = 64


class FakeService(Behaviour):
    """Serves while its ``with`` lasts, at ``address``. Clients of any language may call it.

    Like the real one it refuses texts that are blank, too long or too many; a word is a token.
    """

    def __init__(self, answers: Answers = 1.0, *, model: ModelInfo = MODEL) -> None:
        """Take the answers: one for every text, one by text, or a function. See Answers."""
        super().__init__(answers, model)
        self.address = ""
        self._server = grpc.server(
            ThreadPoolExecutor(MAX_CALLS, "fake-valence"), options=[("grpc.so_reuseport", 0)]
        )
        sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Servicer(self), self._server)
        self._server.add_generic_rpc_handlers((health_handler(),))

    def __enter__(self) -> Self:
        """Start to serve, on a free port of this machine."""
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End every call, and stop."""
        self._server.stop(0).wait()
