"""Serve with LitServe and its batching: ``PORT=… MODEL=… python litserve_app.py``."""

from __future__ import annotations

import os
from typing import Any

import litserve

import model


class SentimentAPI(litserve.LitAPI):
    """One text a request; predict gets a batch of them."""

    def setup(self, device: str) -> None:
        """Load the model, once for each worker."""
        self.classify = model.load()

    def decode_request(self, request: dict[str, str]) -> str:
        """Return the text."""
        return request["text"]

    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        """Return label and score of each text."""
        return self.classify(list(texts))

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the answer unchanged."""
        return output


if __name__ == "__main__":
    api = SentimentAPI(max_batch_size=64, batch_timeout=0.005, api_path="/classify")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(port=int(os.environ["PORT"]), host="127.0.0.1", generate_client_file=False)
