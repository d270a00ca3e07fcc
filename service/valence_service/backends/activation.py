"""Make scores of a model's logits."""

from __future__ import annotations

import numpy as np


def activate(logits: np.ndarray, activation: str) -> np.ndarray:
    """Return scores of shape [texts, labels] from logits: by softmax, sigmoid or none.

    Raise ValueError for logits that are not numbers: a sigmoid would make a sure answer of them.
    """
    if not np.isfinite(logits).all():
        raise ValueError("the model's logits are not numbers")
    scores: np.ndarray = logits
    if activation == "softmax":
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponents / exponents.sum(axis=1, keepdims=True)
    elif activation == "sigmoid":
        with np.errstate(over="ignore"):  # then the score is 0, as it should be
            scores = 1 / (1 + np.exp(-logits))
    return scores
