"""Compute texts with a model that OpenVINO has compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
from valence_service.backends.bert_config import encoder_of
from valence_service.backends.bert_graph import build

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from tokenizers import Tokenizer

    from training.exits import WithExits

INT8 = "openvino/openvino_model_qint8.xml"
MAX_TOKENS = 512
BATCH_TOKENS = 4_096

# Texts to logits, float64 [depths, texts, labels], the lowest depth first.
Form = Callable[[list[str]], np.ndarray]


def compiled_form(
    model: openvino.Model,
    tokenizer: Tokenizer,
    *,
    precision: str = "f32",
    max_tokens: int = MAX_TOKENS,
) -> Form:
    """Return a model of OpenVINO's, compiled for the CPU in ``f32`` or ``bf16``.

    Its first output is the full depth. It reads the first ``max_tokens`` tokens of a text.
    """
    compiled: Any = openvino.Core().compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": precision}
    )

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        answers = compiled({"input_ids": ids, "attention_mask": mask})
        full, *exits = compiled.outputs
        return np.stack([answers[output] for output in (*exits, full)])

    return functools.partial(_in_batches, run, tokenizer, max_tokens)


def graph_of(answering: WithExits) -> openvino.Model:
    """Return the model in float32 for OpenVINO: ids and mask in, logits of each depth out.

    The full depth is the first output.
    """
    config = answering.model.config
    encoder = encoder_of(config.to_dict(), labels=config.num_labels)
    return build(encoder, _arrays(answering.model), _arrays(answering.heads))


def _arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in module.state_dict().items()}


def read_int8(folder: Path) -> openvino.Model:
    """Return the folder's int8 form."""
    return openvino.Core().read_model(folder / INT8)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def _in_batches(
    run: Callable[[np.ndarray, np.ndarray], np.ndarray],
    tokenizer: Tokenizer,
    max_tokens: int,
    texts: list[str],
) -> np.ndarray:
    """Run on ids and mask, int64 of shape [texts, tokens], texts of like length together."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    encoded = [
        ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]] for ids in encoded
    ]
    answers: list[np.ndarray] = [np.empty(0)] * len(texts)
    order = sorted(range(len(texts)), key=lambda index: -len(encoded[index]))
    while order:
        longest = len(encoded[order[0]])
        count = max(1, BATCH_TOKENS // longest)
        batch, order = order[:count], order[count:]
        ids, mask = np.zeros((2, len(batch), longest), np.int64)
        for row, index in enumerate(batch):
            ids[row, : len(encoded[index])] = encoded[index]
            mask[row, : len(encoded[index])] = 1
        logits = run(ids, mask).astype(float)
        for row, index in enumerate(batch):
            answers[index] = logits[:, row]
    return np.stack(answers, axis=1)
