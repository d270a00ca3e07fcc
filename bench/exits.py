"""Measure what exits buy: ``python -m bench.exits FOLDER FILE [CONFIDENCE ...]``.

FILE holds labelled texts as ``training/data.py`` describes them. The table has accuracy, layers and
texts a second of one core, for each confidence. The confidences take turns, and the seconds are
those of the processor: the figures bear other load beside them.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from valence_service.backends.load import load_model

from bench.engine_alone import BATCH, source_of
from training.data import read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.core.classifier import Classifier
    from valence_service.core.sentiment import Sentiment

CONFIDENCES = (0.0, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
TEXTS = 512
ROUNDS = 3


def load(folder: Path, confidence: float) -> Classifier:
    """Return one classifier that leaves at a confidence, on one core."""
    source = replace(source_of(folder), exit_confidence=confidence)
    return load_model(source, replicas=1, cores=1, max_micro_batch_tokens=4096).classifiers[0]


def compute(classifier: Classifier, texts: Sequence[str]) -> tuple[list[Sentiment], float]:
    """Return the sentiments of texts, in batches, and the processor's seconds."""
    began = time.process_time()
    sentiments: list[Sentiment] = []
    for start in range(0, len(texts), BATCH):
        sentiments += classifier.classify(texts[start : start + BATCH])
    return sentiments, time.process_time() - began


def accuracy(sentiments: Sequence[Sentiment], labels: Sequence[str]) -> float:
    """Return the share of texts whose label is the likeliest of those that the file has."""
    known = {label.lower() for label in labels}
    right = 0
    for sentiment, label in zip(sentiments, labels, strict=True):
        likeliest = next(item for item in sentiment.scores if item.label.lower() in known)
        right += likeliest.label.lower() == label.lower()
    return right / len(labels)


def main() -> None:
    """Measure, and print a Markdown table."""
    folder, file = Path(sys.argv[1]), Path(sys.argv[2])
    confidences = tuple(map(float, sys.argv[3:])) or CONFIDENCES
    rows = list(read_rows(file))[:TEXTS]
    labels, texts = [label for label, _ in rows], [text for _, text in rows]
    classifiers = {confidence: load(folder, confidence) for confidence in confidences}
    said = {each: compute(classifier, texts)[0] for each, classifier in classifiers.items()}
    seconds: dict[float, list[float]] = {confidence: [] for confidence in confidences}
    for number in range(ROUNDS):
        for confidence in confidences[:: 1 if number % 2 else -1]:
            seconds[confidence].append(compute(classifiers[confidence], texts)[1])
    print("| confidence | accuracy | layers | texts a second of a core |\n|---|---|---|---|")
    for confidence in confidences:
        depths = [sentiment.layers_used for sentiment in said[confidence]]
        rate = len(texts) / statistics.median(seconds[confidence])
        print(
            f"| {confidence:g} | {accuracy(said[confidence], labels):.1%} "
            f"| {statistics.mean(depths):.2f} | {rate:.0f} |"
        )


if __name__ == "__main__":
    main()
