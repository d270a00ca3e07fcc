"""Serve with Ray Serve and its batching: ``PORT=… MODEL=… python rayserve_app.py``."""

from __future__ import annotations

import os
import signal
from typing import Any

from ray import serve
from starlette.requests import Request

import model


@serve.deployment(max_ongoing_requests=256, ray_actor_options={"num_cpus": 1})
class Sentiment:
    """One replica; texts that arrive within five milliseconds make a batch."""

    def __init__(self) -> None:
        """Load the model."""
        self._classify = model.load()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.005)
    async def _batch(self, texts: list[str]) -> list[dict[str, Any]]:
        return self._classify(texts)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Return label and score of one text."""
        return await self._batch((await request.json())["text"])


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Sentiment.bind(), route_prefix="/classify")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
