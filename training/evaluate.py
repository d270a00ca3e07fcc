"""Measure accuracy and calibration on the development sets: ``make evaluate DATA=folder``."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from training.data import DEV_FILES, dev_rows

MAX_TOKENS = 512
BATCH_TOKENS = 4_096


@torch.inference_mode()
def logits_of(model: PreTrainedModel, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Return logits of shape [len(texts), 2], float64, in the order of texts."""

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        return np.asarray(model(**inputs).logits.float())

    return _in_batches(run, tokenizer, texts)


def compiled_logits(compiled: Any, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Return what logits_of does, from a model that OpenVINO has compiled."""

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.asarray(compiled({"input_ids": ids, "attention_mask": mask})[0])

    return _in_batches(run, tokenizer, texts)


def _in_batches(
    run: Callable[[np.ndarray, np.ndarray], np.ndarray], tokenizer: Tokenizer, texts: list[str]
) -> np.ndarray:
    """Run on ids and mask, int64 of shape [texts, tokens], texts of like length together."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    encoded = [
        ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]] for ids in encoded
    ]
    logits = np.zeros((len(texts), 2))
    order = sorted(range(len(texts)), key=lambda index: -len(encoded[index]))
    while order:
        longest = len(encoded[order[0]])
        count = max(1, BATCH_TOKENS // longest)
        batch, order = order[:count], order[count:]
        ids, mask = np.zeros((2, len(batch), longest), np.int64)
        for row, index in enumerate(batch):
            ids[row, : len(encoded[index])] = encoded[index]
            mask[row, : len(encoded[index])] = 1
        logits[batch] = run(ids, mask)
    return logits


def expected_calibration_error(scores: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Return the mean gap between score and accuracy, over equal-width bins of the score.

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


Logits = Callable[[list[str]], np.ndarray]


def torch_form(folder: Path) -> Logits:
    """Return the folder's model in float32 on torch."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    return functools.partial(logits_of, model, read_tokenizer(folder))


def compiled_form(folder: Path, model: openvino.Model, precision: str) -> Logits:
    """Return a model of OpenVINO's, compiled for the CPU in ``f32`` or ``bf16``."""
    hint = {"INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.Core().compile_model(model, "CPU", hint)
    return functools.partial(compiled_logits, compiled, read_tokenizer(folder))


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the folder's tokenizer, which neither cuts nor pads."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def report(logits_of_texts: Logits, data: Path) -> str:
    """Return a Markdown table with a row for each development set."""
    lines = ["| set | texts | accuracy | mean score | ECE (15 bins) |", "|---|---|---|---|---|"]
    for name in DEV_FILES:
        texts, labels = dev_rows(data, name)
        logits = logits_of_texts(texts)
        right = logits.argmax(axis=1) == labels
        scores = 1 / (1 + np.exp(-np.abs(logits[:, 1] - logits[:, 0])))
        error = expected_calibration_error(scores, right)
        lines.append(
            f"| {name} | {len(texts)} | {right.mean():.2%} | {scores.mean():.3f} | {error:.3f} |"
        )
    return "\n".join(lines)


def compare(forms: dict[str, Logits], data: Path) -> str:
    """Return a Markdown table: accuracy by form, and labels equal to the first form's."""
    first, *others = forms
    head = [f"{form} {what}" for form in others for what in ("accuracy", "same label")]
    lines = [
        f"| set | {first} accuracy | {' | '.join(head)} |",
        "|---" * (2 + len(head)) + "|",
    ]
    for name in DEV_FILES:
        texts, labels = dev_rows(data, name)
        said = {form: logits(texts).argmax(axis=1) for form, logits in forms.items()}
        cells = [f"{(said[first] == labels).mean():.2%}"]
        for form in others:
            cells.append(f"{(said[form] == labels).mean():.2%}")
            cells.append(f"{(said[form] == said[first]).mean():.2%}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the report of a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev/")
    parser.add_argument("--model", type=Path, required=True, help="a model folder")
    arguments = parser.parse_args()
    print(report(torch_form(arguments.model), arguments.data))


if __name__ == "__main__":
    main()
