"""Measure the engine without a server: ``python -m bench.engine_alone FOLDER SET SECONDS``.

A thread for each classifier computes batches of 64 texts in a loop.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from valence_service.arguments import read_settings
from valence_service.backends.load import ModelSource, load_model
from valence_service.core.classifier import Classifier
from valence_service.process import usable_cores

from bench import texts

BATCH = 64
LONE_PASSES = 200


def source_of(folder: Path) -> ModelSource:
    """Return a model's folder with the service's own settings."""
    settings = read_settings([])
    return ModelSource(
        name=str(folder),
        revision=None,
        engine="openvino",
        precision="auto",
        device="cpu",
        cache_dir=settings.cache_dir,
        label_valence={},
        max_text_tokens=settings.max_text_tokens,
        self_check=False,
    )


def load(folder: Path) -> Sequence[Classifier]:
    """Return the classifiers that the service makes of a model."""
    return load_model(
        source_of(folder),
        replicas=None,
        cores=usable_cores().count,
        max_micro_batch_tokens=read_settings([]).max_batch_tokens,
    ).classifiers


def main() -> None:
    """Measure, and print the texts a second."""
    folder, chosen, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    classifiers = load(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    these = {"short": texts.short, "mixed": texts.mixed}[chosen](tokenizer)
    batches = [these[n : n + BATCH] for n in range(0, len(these), BATCH)]
    counted_from = time.perf_counter() + seconds / 2
    rates = [0.0] * len(classifiers)

    def work(number: int) -> None:
        turns = itertools.cycle(batches)
        while time.perf_counter() < counted_from:
            classifiers[number].classify(next(turns))
        began, answered = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < seconds:
            answered += len(classifiers[number].classify(next(turns)))
        rates[number] = answered / passed

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(classifiers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(rates))


def lone_ms(classifier: Classifier, text: str) -> float:
    """Return the median time of a text by itself, the first tenth not counted."""
    waits = []
    for _ in range(LONE_PASSES):
        began = time.perf_counter()
        classifier.classify([text])
        waits.append((time.perf_counter() - began) * 1e3)
    return statistics.median(waits[LONE_PASSES // 10 :])


if __name__ == "__main__":
    main()
