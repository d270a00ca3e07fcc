"""MLServer with its adaptive batching on: a runtime of the V2 inference protocol."""

from __future__ import annotations

import json

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

import model


class Sentiment(MLModel):
    """Texts in, JSON of label and score out, a row for each."""

    async def load(self) -> bool:
        """Load the model, once a worker."""
        self._classify = model.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """What MLServer has gathered comes as one request of many rows."""
        texts = StringCodec.decode_input(payload.inputs[0])
        answers = [json.dumps(answer) for answer in self._classify(texts)]
        output = StringCodec.encode_output("answers", answers)
        return InferenceResponse(model_name=self.name, outputs=[output])
