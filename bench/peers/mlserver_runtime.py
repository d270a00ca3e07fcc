"""Serve with MLServer and its adaptive batching: a runtime of the V2 inference protocol."""

from __future__ import annotations

import json

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

import model


class Sentiment(MLModel):
    """Texts in, JSON of label and score out, a row for each."""

    async def load(self) -> bool:
        """Load the model, once for each worker."""
        self._classify = model.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return a row for each text: MLServer makes one request of a batch."""
        texts = StringCodec.decode_input(payload.inputs[0])
        answers = [json.dumps(answer) for answer in self._classify(texts)]
        output = StringCodec.encode_output("answers", answers)
        return InferenceResponse(model_name=self.name, outputs=[output])
