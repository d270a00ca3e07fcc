"""The model compiled for the CPU by OpenVINO: the default where there is no GPU.

Two compiled forms share the weights. The crowd's has as many streams as there are workers, each
on its share of the cores: that answers the most texts a second. The lone caller's has one stream
on all cores: that answers one text soonest. docs/decisions has the figures.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
import structlog
from tokenizers import Tokenizer

from valence_service.backends.labels import read_scores
from valence_service.backends.micro_batches import passes, rounded_up
from valence_service.core.classifier import TokenCount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from valence_service.backends.artifact import InputSpec, ModelArtifact
    from valence_service.core.sentiment import ModelInfo, Sentiment

# The kernels of each new shape of a pass take the time of several passes to make, and memory for
# good: so there are few shapes, of so many texts and of tokens rounded up, to LEAST_TOKENS at
# least. More of either in a pass answer no more a second: docs/decisions/0007-few-shapes.md.
MICRO_BATCH_TEXTS = (1, 2, 3, 4, 6, 8, 12, 16)
MAX_MICRO_BATCH_TOKENS = 1024
LEAST_TOKENS = 16
# A pass takes the time of so many tokens, however few it has.
OVERHEAD_TOKENS = 16
# Attention in products and a softmax of their own, not in OpenVINO's fused kernel, which takes
# twice their time for many short texts: docs/decisions/0011-plain-attention.md.
PLAIN_ATTENTION = {"SNIPPETS_MODE": "DISABLE"}
log = structlog.get_logger()

# OpenVINO fills its table of types when one is first asked for, and two threads that ask at once
# deadlock over it and Python's lock. This is asked by one thread, before there are workers.
openvino.Type.i64.to_dtype()


def compile_model(
    prepared: ModelArtifact, precision: str, *, streams: int, threads: int
) -> openvino.CompiledModel:
    """The model for the CPU, computing as many passes at once as there are streams."""
    settings: dict[str, int | str] = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
    }
    if precision != "int8":
        # What an int8 model does not do in int8, it does in what the processor does best.
        settings["INFERENCE_PRECISION_HINT"] = precision
    core = openvino.Core()
    try:
        return core.compile_model(prepared.model, "CPU", settings | PLAIN_ATTENTION)
    except RuntimeError as error:
        # OpenVINO does not document the setting, so another version may not know it.
        if not any(name in str(error) for name in PLAIN_ATTENTION):
            raise
        log.warning("attention", setting=PLAIN_ATTENTION, reason="unknown to this OpenVINO")
        return core.compile_model(prepared.model, "CPU", settings)


class LatencyForm:
    """The low-latency form: for a pass of one text, while no worker but its own computes.

    Beside another it would take that one's core away, and both would be slower.

    Compiled in a thread beside the first calls: the crowd's form answers them too, so the start
    need not wait for it.
    """

    def __init__(self, compile_form: Callable[[], openvino.CompiledModel]) -> None:
        self._lock = threading.Lock()
        self._computing = 0
        self._request: openvino.InferRequest | None = None
        # No daemon: OpenVINO aborts a process that ends while it compiles.
        self.compiling = threading.Thread(
            target=self._compile, args=(compile_form,), name="compile-lone-form"
        )
        self.compiling.start()

    def _compile(self, compile_form: Callable[[], openvino.CompiledModel]) -> None:
        try:
            self._request = compile_form().create_infer_request()
        except Exception:
            log.exception("lone_form", hint="lone texts take the crowd's form, which is slower")

    @contextmanager
    def computing(self) -> Iterator[None]:
        """A worker computes, in this form or in another."""
        with self._lock:
            self._computing += 1
        try:
            yield
        finally:
            with self._lock:
                self._computing -= 1

    def infer(self, inputs: dict[str, np.ndarray]) -> np.ndarray | None:
        """Logits of shape [texts, labels]; None beside another worker, or before it is compiled.

        To be called by a worker that computes: so one at a time gets through.
        """
        if self._request is None or self._computing > 1:
            return None
        return _run(self._request, inputs)


class OpenVinoClassifier:
    """One stream of the model and a tokenizer of its own, behind the Classifier protocol."""

    def __init__(
        self,
        info: ModelInfo,
        crowd: openvino.CompiledModel,
        lone: LatencyForm | None,
        prepared: ModelArtifact,
        *,
        activation: str,
        max_micro_batch_tokens: int,
    ) -> None:
        self.info = info
        self.tokens = TokenCount()
        self._request = crowd.create_infer_request()
        self._inputs = [port.get_any_name() for port in crowd.inputs]
        self._lone = lone
        self._computing = lone.computing if lone else nullcontext
        self._input_spec: InputSpec = prepared.input_spec
        self._tokenizer = Tokenizer.from_str(prepared.tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._activation = activation
        self._max_pass_tokens = max_micro_batch_tokens

    def classify(self, texts: Sequence[str]) -> list[Sentiment]:
        """One sentiment for each text, in order. Blocks for the time of the computation."""
        with self._computing():
            return self._classify(texts)

    def _classify(self, texts: Sequence[str]) -> list[Sentiment]:
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        totals = [len(encoding) for encoding in encodings]
        self._truncate(texts, encodings)
        used = [len(encoding) for encoding in encodings]
        scores: list[Mapping[str, float]] = [{}] * len(texts)
        names = [label.name for label in self.info.labels]
        for group in passes(
            [self._width(tokens) for tokens in used],
            counts=MICRO_BATCH_TEXTS if self._input_spec.pad_id is not None else (1,),
            max_tokens=min(self._max_pass_tokens, MAX_MICRO_BATCH_TOKENS),
            overhead_tokens=OVERHEAD_TOKENS,
        ):
            inputs = self._pad([encodings[index] for index in group])
            tokens = sum(used[index] for index in group)
            self.tokens.texts += tokens
            self.tokens.padding += inputs["input_ids"].size - tokens
            logits = self._infer(inputs)
            for index, row in zip(group, activate(logits, self._activation), strict=True):
                scores[index] = dict(zip(names, row.tolist(), strict=True))
        return [
            read_scores(
                scores[index],
                self.info.labels,
                probabilities=self._activation != "none",
                tokens_total=totals[index],
                tokens_used=used[index],
            )
            for index in range(len(texts))
        ]

    def _truncate(self, texts: Sequence[str], encodings: list[Any]) -> None:
        """Encode those that are too long again, by the tokenizer's own rule for the specials."""
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
        """How many tokens a pass has for a text of so many."""
        if self._input_spec.pad_id is None:
            return tokens
        return min(rounded_up(tokens, least=LEAST_TOKENS), self.info.max_tokens)

    def _pad(self, encodings: Sequence[Any]) -> dict[str, np.ndarray]:
        """What the model takes, int64, each of shape [texts, tokens], tokens rounded up."""
        lengths = [len(encoding) for encoding in encodings]
        shape = (len(encodings), self._width(max(lengths)))
        arrays = {
            "input_ids": np.full(shape, self._input_spec.pad_id or 0, np.int64),
            "attention_mask": np.zeros(shape, np.int64),
        }
        if "token_type_ids" in self._inputs:
            arrays["token_type_ids"] = np.zeros(shape, np.int64)
        for row, (encoding, length) in enumerate(zip(encodings, lengths, strict=True)):
            span = slice(-length, None) if self._input_spec.pad_left else slice(length)
            arrays["input_ids"][row, span] = encoding.ids
            arrays["attention_mask"][row, span] = 1
            if "token_type_ids" in arrays:
                arrays["token_type_ids"][row, span] = encoding.type_ids
        return {name: arrays[name] for name in self._inputs}

    def _infer(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Logits of shape [texts, labels], float32."""
        if self._lone is not None and len(inputs["input_ids"]) == 1:
            logits = self._lone.infer(inputs)
            if logits is not None:
                return logits
        return _run(self._request, inputs)


def _run(request: openvino.InferRequest, inputs: dict[str, np.ndarray]) -> np.ndarray:
    request.infer(inputs, share_inputs=True)
    return np.array(request.get_output_tensor(0).data, np.float32)


def activate(logits: np.ndarray, activation: str) -> np.ndarray:
    """Scores of shape [texts, labels] from logits: by softmax, sigmoid or none."""
    scores: np.ndarray = logits
    if activation == "softmax":
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponents / exponents.sum(axis=1, keepdims=True)
    elif activation == "sigmoid":
        scores = 1 / (1 + np.exp(-logits))
    return scores
