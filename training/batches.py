"""Turn examples into batches of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from training.mixture import Example

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
    """Texts of like length: ids and mask of shape [texts, tokens], and targets of shape [texts]."""

    ids: torch.Tensor
    mask: torch.Tensor
    positive: torch.Tensor


def batches(examples: list[Example], tokenizer: Tokenizer, rng: np.random.Generator) -> list[Batch]:
    """Return shuffled batches of texts of like length, within the bounds of tokens and texts."""
    encoded = [
        head_and_tail(encoding.ids, example.max_tokens)
        for encoding, example in zip(
            tokenizer.encode_batch([example.text for example in examples]), examples, strict=True
        )
    ]
    # Jitter gives an example other neighbours in every epoch.
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
        Batch(
            ids=torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(encoded[i]) for i in group], batch_first=True
            ),
            mask=torch.nn.utils.rnn.pad_sequence(
                [torch.ones(len(encoded[i]), dtype=torch.long) for i in group], batch_first=True
            ),
            positive=torch.tensor([examples[i].positive for i in group]),
        )
        for group in groups
    ]
