"""The engine without a server around it: ``python engine_alone.py FOLDER SET SECONDS``, JSON out.

Each of its workers is fed batches of 64 texts in a loop, as busily as a thread can.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from pathlib import Path

import texts
from tokenizers import Tokenizer
from valence_service.models.load import ModelSource, load_classifiers
from valence_service.sentiment import Classifier
from valence_service.settings import read_settings

BATCH = 64
LONE_PASSES = 200


def main() -> None:
    """Measure, and print texts a second and the wait for one text in milliseconds."""
    folder, chosen, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    settings = read_settings([])
    source = ModelSource(
        name=folder,
        revision=None,
        engine="openvino",
        precision="auto",
        device="cpu",
        cache_dir=settings.cache_dir,
        label_valence={},
    )
    classifiers = load_classifiers(source, workers=None, max_pass_tokens=settings.max_batch_tokens)
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    these = {"short": texts.short, "mixed": texts.mixed}[chosen](tokenizer)
    lone = lone_ms(classifiers[0], these[0])
    batch = these * (BATCH // len(these))
    counted_from = time.perf_counter() + seconds / 2
    counts = [0] * len(classifiers)

    def work(number: int) -> None:
        while (now := time.perf_counter()) < counted_from + seconds:
            classifiers[number].classify(batch)
            counts[number] += BATCH * (now >= counted_from)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(classifiers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"texts_per_second": sum(counts) / seconds, "lone_ms": lone}))


def lone_ms(classifier: Classifier, text: str) -> float:
    """The median of many passes of one text, the first tenth not counted."""
    waits = []
    for _ in range(LONE_PASSES):
        began = time.perf_counter()
        classifier.classify([text])
        waits.append((time.perf_counter() - began) * 1e3)
    return statistics.median(waits[LONE_PASSES // 10 :])


if __name__ == "__main__":
    main()
