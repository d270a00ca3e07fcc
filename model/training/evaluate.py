"""Accuracy and calibration of a model on the development sets: ``make evaluate DATA=folder``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from data import DEV_FILES, dev_rows
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, PreTrainedModel

MAX_TOKENS = 512
BATCH_TOKENS = 4_096


@torch.inference_mode()
def logits_of(model: PreTrainedModel, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Logits of shape [len(texts), 2], float64, in the order of texts."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    encoded = [
        ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]] for ids in encoded
    ]
    logits = np.zeros((len(texts), 2))
    order = sorted(range(len(texts)), key=lambda index: -len(encoded[index]))
    while order:
        count = max(1, BATCH_TOKENS // len(encoded[order[0]]))
        batch, order = order[:count], order[count:]
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(encoded[index]) for index in batch], batch_first=True
        )
        mask = torch.nn.utils.rnn.pad_sequence(
            [torch.ones(len(encoded[index])) for index in batch], batch_first=True
        )
        logits[batch] = model(input_ids=ids, attention_mask=mask).logits.double().numpy()
    return logits


def expected_calibration_error(scores: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Mean gap between the score and the accuracy, over equal-width bins of the score.

    Naeini et al. 2015; ``scores`` are the probabilities of the predicted label, ``right`` is
    true where that label is the right one. Both have shape [texts].
    """
    bin_of = np.clip(np.ceil(scores * bins).astype(int) - 1, 0, bins - 1)
    gaps = [
        abs(scores[bin_of == index].mean() - right[bin_of == index].mean())
        * (bin_of == index).mean()
        for index in range(bins)
        if (bin_of == index).any()
    ]
    return float(sum(gaps))


def report(folder: Path, data: Path) -> str:
    """A Markdown table: a row per development set, of its positive and negative texts."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    lines = ["| set | texts | accuracy | mean score | ECE (15 bins) |", "|---|---|---|---|---|"]
    for name in DEV_FILES:
        texts, labels = dev_rows(data, name)
        logits = logits_of(model, tokenizer, texts)
        right = logits.argmax(axis=1) == labels
        scores = 1 / (1 + np.exp(-np.abs(logits[:, 1] - logits[:, 0])))
        error = expected_calibration_error(scores, right)
        lines.append(
            f"| {name} | {len(texts)} | {right.mean():.2%} | {scores.mean():.3f} | {error:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--model", type=Path, required=True, help="a model folder")
    arguments = parser.parse_args()
    print(report(arguments.model, arguments.data))


if __name__ == "__main__":
    main()
