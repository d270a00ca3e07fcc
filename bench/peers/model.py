"""The model that every peer serves: texts in, label and score out, by one of two engines.

MODEL names the folder. ENGINE is ``pipeline`` (transformers, batched, on torch) or ``openvino``
(the int8 form that Valence serves).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Classify = Callable[[list[str]], list[dict[str, Any]]]


def load() -> Classify:
    """Return the engine that the environment names, after a first text."""
    folder = Path(os.environ["MODEL"])
    classify = _openvino(folder) if os.environ.get("ENGINE") == "openvino" else _pipeline(folder)
    classify(["warm"])
    return classify


def _pipeline(folder: Path) -> Classify:
    import transformers

    pipeline = transformers.pipeline("sentiment-analysis", model=str(folder))

    def classify(texts: list[str]) -> list[dict[str, Any]]:
        return list(pipeline(texts, batch_size=len(texts), truncation=True))

    return classify


def _openvino(folder: Path) -> Classify:
    import numpy as np
    import openvino
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.enable_padding()
    model = openvino.Core().compile_model(folder / "openvino/openvino_model_qint8.xml", "CPU")
    labels = ("NEGATIVE", "POSITIVE")

    def classify(texts: list[str]) -> list[dict[str, Any]]:
        encoded = tokenizer.encode_batch(texts)
        logits = model(
            {
                "input_ids": np.array([encoding.ids for encoding in encoded]),
                "attention_mask": np.array([encoding.attention_mask for encoding in encoded]),
            }
        )[0]
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponents / exponents.sum(axis=1, keepdims=True)
        best = scores.argmax(axis=1)
        return [
            {"label": labels[index], "score": float(row[index])}
            for index, row in zip(best, scores, strict=True)
        ]

    return classify
