"""One replica of a model that OpenVINO computes: the default where there is no GPU."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from valence_service.backends.activation import activate
from valence_service.backends.exits import NO_EXITS
from valence_service.backends.labels import read_scores
from valence_service.backends.micro_batches import micro_batches, rounded_up
from valence_service.backends.stages import VECTORS
from valence_service.backends.unknown_tokens import UnknownTokens
from valence_service.core.classifier import TokenCount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from valence_service.backends.artifact import ModelArtifact
    from valence_service.backends.compiled import CompiledForm, LatencyForm
    from valence_service.core.sentiment import ModelInfo, Sentiment

# OpenVINO makes kernels for each new shape of a micro-batch (texts x tokens). That takes the time
# of several micro-batches, and memory that it keeps. So there are few shapes: these counts of
# texts, and tokens rounded up, to LEAST_TOKENS at least. Larger micro-batches answer no more texts
# a second: docs/decisions/0007-few-shapes.md.
MICRO_BATCH_TEXTS = (1, 2, 3, 4, 6, 8, 12, 16)
MAX_MICRO_BATCH_TOKENS = 1024
LEAST_TOKENS = 16
# The fixed cost of a micro-batch, in tokens.
OVERHEAD_TOKENS = 16
# Kernels of other shapes add in another order, so a text's top score differs a little with its
# company. Where it is as near to the confidence of an exit as this, the text alone decides.
MARGINS = {"f32": 1e-4}
HALF_MARGIN = 1e-2


class _Text:
    """A text on its way through the stages."""

    __slots__ = ("encoding", "layers", "scores", "vectors")

    def __init__(self, encoding: Any) -> None:
        self.encoding = encoding
        self.vectors: np.ndarray | None = None
        """Of its tokens, as the last stage left them: [tokens, width]."""
        self.scores: list[float] = []
        self.layers = 0

    def __len__(self) -> int:
        return len(self.encoding)


class OpenVinoClassifier:
    """A stream of the throughput form, and a tokenizer of its own."""

    def __init__(
        self,
        info: ModelInfo,
        throughput: CompiledForm,
        latency: LatencyForm | None,
        artifact: ModelArtifact,
        *,
        activation: str,
        max_micro_batch_tokens: int,
        exit_confidence: float = NO_EXITS,
    ) -> None:
        """Create the infer requests and the tokenizer of a replica."""
        self.info = info
        self.tokens = TokenCount()
        self._request = throughput.request()
        self._inputs = throughput.inputs
        self._latency = latency
        self._computing = latency.computing if latency else nullcontext
        self._artifact = artifact  # keeps the cache from removing the file that is mapped
        self._depths = (*artifact.exits, info.layers)
        self._confidence = exit_confidence
        self._margin = MARGINS.get(info.precision, HALF_MARGIN)
        self._tokenizer = Tokenizer.from_str(artifact.tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._unknown = UnknownTokens.of(self._tokenizer)
        self._activation = activation
        self._max_micro_batch_tokens = max_micro_batch_tokens

    @property
    def one_by_one(self) -> bool:
        """Whether each text has a micro-batch of its own, as wide as the text."""
        return self._artifact.input_spec.pad_id is None

    def classify(self, texts: Sequence[str], *, full_depth: bool = False) -> list[Sentiment]:
        """Return one sentiment for each text, in order. Block while it computes."""
        with self._computing():
            return self._classify(texts, NO_EXITS if full_depth else self._confidence)

    def _classify(self, texts: Sequence[str], confidence: float) -> list[Sentiment]:
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        totals = [len(encoding) for encoding in encodings]
        self._truncate(texts, encodings)
        computed = [_Text(encoding) for encoding in encodings]
        going_on = computed
        for stage in range(len(self._depths)):
            groups = list(self._micro_batches(going_on))
            going_on = [
                text for group in groups for text in self._compute(stage, group, confidence)
            ]
        for text in computed:
            self.tokens.layers[text.layers] = self.tokens.layers.get(text.layers, 0) + 1
        return [
            read_scores(
                text.scores,
                self.info.labels,
                probabilities=self._activation != "none",
                tokens_total=total,
                tokens_used=len(text),
                tokens_unknown=self._unknown.count(text.encoding.ids),
                layers_used=text.layers,
            )
            for text, total in zip(computed, totals, strict=True)
        ]

    def _truncate(self, texts: Sequence[str], encodings: list[Any]) -> None:
        """Encode long texts again, truncated: the tokenizer knows where its special tokens go."""
        limit = self.info.max_tokens
        long = [index for index, encoding in enumerate(encodings) if len(encoding) > limit]
        if not long:
            return
        self._tokenizer.enable_truncation(limit)
        try:
            for index in long:
                encodings[index] = self._tokenizer.encode(texts[index])
        finally:
            self._tokenizer.no_truncation()

    def _micro_batches(self, texts: Sequence[_Text]) -> Iterator[list[_Text]]:
        for group in micro_batches(
            [self._width(len(text)) for text in texts],
            counts=(1,) if self.one_by_one else MICRO_BATCH_TEXTS,
            max_tokens=min(self._max_micro_batch_tokens, MAX_MICRO_BATCH_TOKENS),
            overhead_tokens=OVERHEAD_TOKENS,
        ):
            yield [texts[index] for index in group]

    def _compute(self, stage: int, texts: Sequence[_Text], confidence: float) -> Iterator[_Text]:
        """Compute one stage of a micro-batch, and yield the texts that go on to the next."""
        inputs = self._pad(stage, texts)
        if stage == 0:
            tokens = sum(map(len, texts))
            self.tokens.texts += tokens
            self.tokens.padding += inputs["input_ids"].size - tokens
        # One text is answered sooner in the latency form.
        latency = self._latency.request() if self._latency and len(texts) == 1 else None
        logits, vectors = (latency or self._request).infer(stage, inputs)
        for row, (text, scores) in enumerate(
            zip(texts, activate(logits, self._activation), strict=True)
        ):
            text.layers = self._depths[stage]
            text.scores = scores.tolist()
            if vectors is not None and not self._leaves(stage, text, confidence):
                text.vectors = vectors[row, self._span(text)]
                yield text

    def _leaves(self, stage: int, text: _Text, confidence: float) -> bool:
        """Return whether the text's answer at the stage's exit has the confidence.

        The exit must not depend on the company. Where rounding could decide, the text is computed
        anew, alone and in the throughput form, and that decides.
        """
        if confidence >= NO_EXITS:
            return False
        if abs(max(text.scores) - confidence) <= self._margin:
            text.scores = self._alone(stage, text)
        return max(text.scores) >= confidence

    def _alone(self, stage: int, text: _Text) -> list[float]:
        """Return a text's scores after a stage, computed from its tokens on, without company."""
        alone = _Text(text.encoding)
        for number in range(stage + 1):
            logits, vectors = self._request.infer(number, self._pad(number, [alone]))
            if vectors is not None:
                alone.vectors = vectors[0, self._span(alone)]
        scores: list[float] = activate(logits, self._activation)[0].tolist()
        return scores

    def _width(self, tokens: int) -> int:
        """Return the width of a micro-batch whose longest text has so many tokens."""
        if self.one_by_one:
            return tokens
        return min(rounded_up(tokens, least=LEAST_TOKENS), self.info.max_tokens)

    def _span(self, text: _Text) -> slice:
        """Return which places of a row are a text's."""
        return slice(-len(text), None) if self._artifact.input_spec.pad_left else slice(len(text))

    def _pad(self, stage: int, texts: Sequence[_Text]) -> dict[str, np.ndarray]:
        """Return a stage's inputs, each of shape [texts, width], or [texts, width, vector]."""
        shape = (len(texts), self._width(max(map(len, texts))))
        mask = np.zeros(shape, np.int64)
        for row, text in enumerate(texts):
            mask[row, self._span(text)] = 1
        if stage:
            return {VECTORS: self._pad_vectors(shape, texts), "attention_mask": mask}
        arrays = {
            "input_ids": np.full(shape, self._artifact.input_spec.pad_id or 0, np.int64),
            "attention_mask": mask,
        }
        if "token_type_ids" in self._inputs:
            arrays["token_type_ids"] = np.zeros(shape, np.int64)
        for row, text in enumerate(texts):
            arrays["input_ids"][row, self._span(text)] = text.encoding.ids
            if "token_type_ids" in arrays:
                arrays["token_type_ids"][row, self._span(text)] = text.encoding.type_ids
        return {name: arrays[name] for name in self._inputs}

    def _pad_vectors(self, shape: tuple[int, int], texts: Sequence[_Text]) -> np.ndarray:
        vectors = [text.vectors for text in texts if text.vectors is not None]
        padded = np.zeros((*shape, vectors[0].shape[1]), np.float32)
        for row, (text, of_text) in enumerate(zip(texts, vectors, strict=True)):
            padded[row, self._span(text)] = of_text
        return padded
