"""The model compiled for the CPU by OpenVINO: the default where there is no GPU.

There are two compiled forms. The throughput form gives each replica a stream of its own on a share
of the cores, and answers the most texts a second. The latency form has one stream on all cores, and
answers one text soonest. docs/decisions/0006-two-compiled-forms.md has the figures.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
import structlog
from tokenizers import Tokenizer

from valence_service.backends.activation import activate
from valence_service.backends.labels import read_scores
from valence_service.backends.micro_batches import micro_batches, rounded_up
from valence_service.backends.unknown_tokens import UnknownTokens
from valence_service.core.classifier import TokenCount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from valence_service.backends.artifact import ModelArtifact
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
# Compute attention as products and a softmax: OpenVINO's fused kernel takes twice the time for many
# short texts (docs/decisions/0011-plain-attention.md).
PLAIN_ATTENTION = {"SNIPPETS_MODE": "DISABLE"}
# A model that reads longer texts gets the fused kernel. The parts stay in memory whole, and grow
# with the square of the tokens: with 12 heads, a text of 2,048 tokens takes 1,000 MB more, in the
# fused kernel 130 MB, and two thirds of the time.
MAX_PLAIN_ATTENTION_TOKENS = 1024
# Without padding each length of text is a shape of its own. So each stream keeps few kernels, of a
# third of a MB each; OpenVINO's default is 5,000.
FEW_KERNELS = {"CPU_RUNTIME_CACHE_CAPACITY": 64}
log = structlog.get_logger()

# OpenVINO fills its table of types at the first lookup. Two threads that look up at once deadlock
# over that table's lock and Python's. So one thread looks up here, before any replica computes.
openvino.Type.i64.to_dtype()


def compile_model(
    artifact: ModelArtifact, precision: str, *, streams: int, threads: int
) -> openvino.CompiledModel:
    """Compile the model for the CPU, to compute as many micro-batches at once as streams."""
    settings: dict[str, int | str] = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
    }
    if precision != "int8":
        # Without the hint an int8 model computes the rest in what the processor does best.
        settings["INFERENCE_PRECISION_HINT"] = precision
    undocumented: dict[str, int | str] = {}
    if artifact.input_spec.pad_id is None:
        undocumented |= FEW_KERNELS
    if artifact.input_spec.max_tokens <= MAX_PLAIN_ATTENTION_TOKENS:
        undocumented |= PLAIN_ATTENTION
    core = openvino.Core()
    try:
        return core.compile_model(artifact.model, "CPU", settings | undocumented)
    except RuntimeError as error:
        # Another version of OpenVINO may not know these settings.
        if not any(name in str(error) for name in undocumented):
            raise
        log.warning("openvino_settings", without=undocumented, reason="unknown to this OpenVINO")
        return core.compile_model(artifact.model, "CPU", settings)


class LatencyForm:
    """The form that computes a micro-batch of one text while every other replica is idle.

    Beside a busy replica it would compete for that one's cores, and both would be slower.

    A thread of its own compiles it beside the first calls. The throughput form can answer those,
    so the start does not wait.
    """

    def __init__(self, compile_form: Callable[[], openvino.CompiledModel]) -> None:
        """Start to compile."""
        self._lock = threading.Lock()
        self._computing = 0
        self._request: openvino.InferRequest | None = None
        # Not a daemon: OpenVINO aborts a process that exits while it compiles, such as a test's.
        self.compiling = threading.Thread(
            target=self._compile, args=(compile_form,), name="compile-latency-form"
        )
        self.compiling.start()

    def _compile(self, compile_form: Callable[[], openvino.CompiledModel]) -> None:
        try:
            self._request = compile_form().create_infer_request()
        except Exception:
            log.exception("latency_form", hint="single texts take the throughput form: slower")

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Count a replica that computes, in this form or in another."""
        with self._lock:
            self._computing += 1
        try:
            yield
        finally:
            with self._lock:
                self._computing -= 1

    def infer(self, inputs: dict[str, np.ndarray]) -> np.ndarray | None:
        """Return logits of shape [texts, labels]; None where the throughput form has to compute.

        That is until this form is compiled, and while another replica computes. Call it within
        computing(): so only one replica at a time gets through.
        """
        if self._request is None or self._computing > 1:
            return None
        return _run(self._request, inputs)


class OpenVinoClassifier:
    """One replica: a stream of the throughput form, and a tokenizer of its own."""

    def __init__(
        self,
        info: ModelInfo,
        throughput: openvino.CompiledModel,
        latency: LatencyForm | None,
        artifact: ModelArtifact,
        *,
        activation: str,
        max_micro_batch_tokens: int,
    ) -> None:
        """Create the infer request and the tokenizer of a replica."""
        self.info = info
        self.tokens = TokenCount()
        self._request = throughput.create_infer_request()
        self._inputs = [port.get_any_name() for port in throughput.inputs]
        self._latency = latency
        self._computing = latency.computing if latency else nullcontext
        self._artifact = artifact  # keeps the cache from removing the file that is mapped
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

    def classify(self, texts: Sequence[str]) -> list[Sentiment]:
        """Return one sentiment for each text, in order. Block while it computes."""
        with self._computing():
            return self._classify(texts)

    def _classify(self, texts: Sequence[str]) -> list[Sentiment]:
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        totals = [len(encoding) for encoding in encodings]
        self._truncate(texts, encodings)
        used = [len(encoding) for encoding in encodings]
        scores: list[Sequence[float]] = [()] * len(texts)
        for group in micro_batches(
            [self._width(tokens) for tokens in used],
            counts=(1,) if self.one_by_one else MICRO_BATCH_TEXTS,
            max_tokens=min(self._max_micro_batch_tokens, MAX_MICRO_BATCH_TOKENS),
            overhead_tokens=OVERHEAD_TOKENS,
        ):
            inputs = self._pad([encodings[index] for index in group])
            tokens = sum(used[index] for index in group)
            self.tokens.texts += tokens
            self.tokens.padding += inputs["input_ids"].size - tokens
            logits = self._infer(inputs)
            for index, row in zip(group, activate(logits, self._activation), strict=True):
                scores[index] = row.tolist()
        return [
            read_scores(
                scores[index],
                self.info.labels,
                probabilities=self._activation != "none",
                tokens_total=totals[index],
                tokens_used=used[index],
                tokens_unknown=self._unknown.count(encodings[index].ids),
            )
            for index in range(len(texts))
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

    def _width(self, tokens: int) -> int:
        """Return the width of a micro-batch whose longest text has so many tokens."""
        if self.one_by_one:
            return tokens
        return min(rounded_up(tokens, least=LEAST_TOKENS), self.info.max_tokens)

    def _pad(self, encodings: Sequence[Any]) -> dict[str, np.ndarray]:
        """Return the model's inputs, int64, each of shape [texts, width]."""
        lengths = [len(encoding) for encoding in encodings]
        shape = (len(encodings), self._width(max(lengths)))
        arrays = {
            "input_ids": np.full(shape, self._artifact.input_spec.pad_id or 0, np.int64),
            "attention_mask": np.zeros(shape, np.int64),
        }
        if "token_type_ids" in self._inputs:
            arrays["token_type_ids"] = np.zeros(shape, np.int64)
        for row, (encoding, length) in enumerate(zip(encodings, lengths, strict=True)):
            span = slice(-length, None) if self._artifact.input_spec.pad_left else slice(length)
            arrays["input_ids"][row, span] = encoding.ids
            arrays["attention_mask"][row, span] = 1
            if "token_type_ids" in arrays:
                arrays["token_type_ids"][row, span] = encoding.type_ids
        return {name: arrays[name] for name in self._inputs}

    def _infer(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return logits of shape [texts, labels], float32."""
        if self._latency is not None and len(inputs["input_ids"]) == 1:
            logits = self._latency.infer(inputs)
            if logits is not None:
                return logits
        return _run(self._request, inputs)


def _run(request: openvino.InferRequest, inputs: dict[str, np.ndarray]) -> np.ndarray:
    request.infer(inputs, share_inputs=True)
    return np.array(request.get_output_tensor(0).data, np.float32)
