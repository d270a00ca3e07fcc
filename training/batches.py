"""Turn examples into batches of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer

    from training.example import Example

# Small batches give more steps and a noisier gradient, which helps a small model.
BATCH_TEXTS = 64
BATCH_TOKENS = 2_048


def head_and_tail(ids: list[int], max_tokens: int) -> list[int]:
    """Return at most max_tokens ids, from both ends, where reviews give their opinion.

    Sun et al. 2019 (arXiv:1905.05583) found this the best way to shorten a review.
    """
    if len(ids) <= max_tokens:
        return ids
    head = max_tokens // 2
    return ids[:head] + ids[-(max_tokens - head) :]


@dataclass(frozen=True)
class Batch:
    """Texts of like length: ids and mask of shape [texts, tokens], targets of shape [texts].

    ``neutral`` is the probability that a text is neutral, ``positive`` that its side is positive.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    neutral: torch.Tensor
    neutral_weight: torch.Tensor
    positive: torch.Tensor
    positive_weight: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def batches(examples: list[Example], tokenizer: Tokenizer, rng: np.random.Generator) -> list[Batch]:
    """Return shuffled batches of texts of like length, within the bounds of tokens and texts."""
    encoded = [
        head_and_tail(encoding.ids, example.max_tokens)
        for encoding, example in zip(
            tokenizer.encode_batch([example.text for example in examples]), examples, strict=True
        )
    ]
    # Jitter gives an example other neighbours in every run.
    lengths = np.array([len(ids) for ids in encoded]) + rng.uniform(0, 2, len(encoded))
    groups: list[list[int]] = [[]]
    for index in np.argsort(-lengths):
        longest = len(encoded[groups[-1][0]]) if groups[-1] else 0
        full = len(groups[-1]) >= BATCH_TEXTS
        if full or longest * (len(groups[-1]) + 1) > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(int(index))
    rng.shuffle(groups)
    return [
        _batch([encoded[index] for index in group], [examples[index] for index in group])
        for group in groups
        if group
    ]


def _batch(encoded: list[list[int]], examples: list[Example]) -> Batch:
    def padded(rows: list[torch.Tensor]) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def floats(values: Iterable[float]) -> torch.Tensor:
        return torch.tensor(list(values), dtype=torch.float32)

    return Batch(
        ids=padded([torch.tensor(ids) for ids in encoded]),
        mask=padded([torch.ones(len(ids), dtype=torch.long) for ids in encoded]),
        neutral=floats(example.neutral for example in examples),
        neutral_weight=floats(example.neutral_weight for example in examples),
        positive=floats(example.positive for example in examples),
        positive_weight=floats(example.positive_weight for example in examples),
    )
