"""Measure how long texts are read: ``python -m training.documents --data folder --model folder``.

Three tables: reviews of more tokens than the model reads, by the way in which the answers to their
windows become one; the calibration of that one; and how well ``mixed`` tells documents of two sides
from documents of one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from valence_service.backends.load import ModelSource, load_model
from valence_service.core.sentiment import Polarity, Sentiment
from valence_service.segmentation.sentences import SentenceSegmenter
from valence_service.serving.aggregation import combine, mixed
from valence_service.serving.windows import WindowPlan, WindowSize, plan_windows

from training.data import BUSINESS_REVIEWS, LONG_REVIEWS, dev_file, documents, read_rows
from training.measures import BINS

if TYPE_CHECKING:
    from valence_service.core.classifier import Classifier, LoadedModel
    from valence_service.core.document import TokenReader

# As many texts as a batch of the service has.
BATCH_TEXTS = 64
MIXED_REVIEWS = 300
WHOLE_REVIEWS = "cad_imdb.dev_original"

# The answers to the windows of a text to the weight of each.
Way = Callable[[Sequence[Sentiment]], Sequence[float]]


def tokens(windows: Sequence[Sentiment]) -> list[float]:
    """Return the tokens of each window."""
    return [window.tokens_used for window in windows]


def evidence(windows: Sequence[Sentiment]) -> list[float]:
    """Return how far from undecided each window is."""
    return [abs(window.valence or 0.0) for window in windows]


def last_twice(windows: Sequence[Sentiment]) -> list[float]:
    """Return one for each window, and two for the last."""
    return [1.0] * (len(windows) - 1) + [2.0]


WAYS: dict[str, Way] = {
    "mean": lambda windows: [1.0] * len(windows),
    "by tokens": tokens,
    "by evidence": evidence,
    "the last twice": last_twice,
    "the last alone": lambda windows: [0.0] * (len(windows) - 1) + [1.0],
}


class Reader:
    """Reads texts with a model as the service does."""

    def __init__(self, model: LoadedModel, reader: TokenReader) -> None:
        self.max_tokens = model.info.max_tokens
        self._labels = model.info.labels
        self._classifier: Classifier = model.classifiers[0]
        self._reader = reader
        self._segmenter = SentenceSegmenter()
        (special_tokens,) = reader.count([""])
        self._size = WindowSize.for_model(self.max_tokens, special_tokens)

    def ask(self, texts: Sequence[str]) -> list[Sentiment]:
        """Return the answer to each text."""
        rest = iter(texts)
        answers: list[Sentiment] = []
        while batch := list(islice(rest, BATCH_TEXTS)):
            answers += self._classifier.classify(batch)
        return answers

    def overlong(self, rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the rows whose texts have more tokens than the model reads."""
        counts = self._reader.count([text for _, text in rows])
        return [row for row, count in zip(rows, counts, strict=True) if count > self.max_tokens]

    def sentences(self, text: str) -> list[str]:
        """Return the sentences of a text."""
        return [text[span.begin : span.end] for span in self._segmenter.segment(text)]

    def windows(self, texts: Sequence[str]) -> list[list[Sentiment]]:
        """Return the answers to the windows of each text."""
        plans = [self._plan(text) for text in texts]
        answers = iter(
            self.ask(
                [
                    text[window.begin : window.end]
                    for text, plan in zip(texts, plans, strict=True)
                    for window in plan.windows
                ]
            )
        )
        return [list(islice(answers, len(plan.windows))) for plan in plans]

    def combined(self, windows: Sequence[Sentiment]) -> Sentiment:
        """Return the service's answer of those of a text's windows."""
        return combine(windows, self._labels, tokens_total=0, tokens_unknown=0)

    def _plan(self, text: str) -> WindowPlan:
        ends = [span.end for span in self._segmenter.segment(text)]
        return plan_windows(text, self._reader, lambda: ends, size=self._size, field="text")


def accuracy(valences: Sequence[float], labels: Sequence[str]) -> float:
    """Return the share of texts on whose side a valence is."""
    pairs = zip(valences, labels, strict=True)
    return float(np.mean([(valence > 0) == (label == "positive") for valence, label in pairs]))


def calibration_error(answers: Sequence[Sentiment], labels: Sequence[str]) -> float:
    """Return the expected calibration error of the top label's score (Naeini et al. 2015)."""
    scores = np.array([answer.scores[0].score for answer in answers])
    right = np.array(
        [
            answer.polarity is Polarity[label.upper()]
            for answer, label in zip(answers, labels, strict=True)
        ]
    )
    bins = np.clip(np.ceil(scores * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = [abs(scores[bins == each].sum() - right[bins == each].sum()) for each in np.unique(bins)]
    return float(sum(gaps) / len(scores))


def area_under_curve(of_two_sides: Sequence[float], of_one: Sequence[float]) -> float:
    """Return the share of pairs in which the document of two sides is the more mixed one."""
    ranks = np.sign(np.subtract.outer(of_two_sides, of_one))
    return float((ranks.mean() + 1) / 2)


def measure_windows(reader: Reader, rows: Sequence[tuple[str, str]]) -> None:
    """Print the tables of reviews of more tokens than the model reads."""
    labels, texts = [label for label, _ in rows], [text for _, text in rows]
    truncated = reader.ask(texts)
    windows = reader.windows(texts)
    print(
        f"{len(rows)} reviews of more than {reader.max_tokens} tokens, "
        f"{sum(map(len, windows)) / len(rows):.2f} windows each\n"
    )
    print("| read | accuracy |\n|---|---|")
    valences = [answer.valence or 0.0 for answer in truncated]
    print(f"| truncated | {accuracy(valences, labels):.1%} |")
    for name, way in WAYS.items():
        valences = [
            float(np.average([each.valence or 0.0 for each in answers], weights=way(answers)))
            for answers in windows
        ]
        print(f"| windows, {name} | {accuracy(valences, labels):.1%} |")
    print("\n| read | mean score | calibration error |\n|---|---|---|")
    combined = [reader.combined(answers) for answers in windows]
    for name, answers in (("truncated", truncated), ("windows", combined)):
        score = np.mean([answer.scores[0].score for answer in answers])
        print(f"| {name} | {score:.3f} | {calibration_error(answers, labels):.3f} |")


def measure_mixed(reader: Reader, rows: Sequence[tuple[str, str]]) -> None:
    """Print how well ``mixed`` tells documents of both sides from those of one.

    A document is put together from two reviews, or from four.
    """
    texts = [reader.sentences(text) for _, text in rows]
    answers = iter(reader.ask([sentence for sentences in texts for sentence in sentences]))
    sides: dict[str, list[list[Sentiment]]] = {"negative": [], "positive": []}
    for (label, _), sentences in zip(rows, texts, strict=True):
        said = list(islice(answers, len(sentences)))
        if label in sides:
            sides[label].append(said)
    print("| reviews in a document | of both sides | of one | area under the curve |")
    print("|---|---|---|---|")
    for each in (1, 2):
        negative, positive = (_joined(reviews, each) for reviews in sides.values())
        both = [mixed([*a, *b]) or 0.0 for a, b in zip(negative, positive, strict=False)]
        one = [
            mixed(together) or 0.0
            for reviews in sides.values()
            for together in _joined(reviews, 2 * each)
        ]
        area = area_under_curve(both, one)
        print(f"| {2 * each} | {len(both)} | {len(one)} | {area:.3f} |")


def _joined(reviews: Sequence[list[Sentiment]], count: int) -> list[list[Sentiment]]:
    """Return the sentences of so many reviews together, each review in one document."""
    return [
        [sentence for review in reviews[first : first + count] for sentence in review]
        for first in range(0, len(reviews) - count + 1, count)
    ]


def main() -> None:
    """Print the tables of a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--model", required=True, help="a model folder")
    parser.add_argument("--precision", default="int8", help="f32, bf16 or int8")
    parser.add_argument(
        "--reviews", type=int, default=250, help="long reviews to measure; 0 is none"
    )
    parser.add_argument("--cache", type=Path, default=Path("build/cache"), help="for conversions")
    arguments = parser.parse_args()
    source = ModelSource(
        name=arguments.model,
        revision=None,
        engine="openvino",
        precision=arguments.precision,
        device="cpu",
        cache_dir=arguments.cache,
        label_valence={},
        max_text_tokens=512,
        self_check=False,
    )
    model = load_model(source, replicas=1, cores=1, max_micro_batch_tokens=4096)
    if model.reader is None:
        parser.error("the model's tokenizer does not tell where tokens stand")
    reader = Reader(model, model.reader)
    long = reader.overlong(documents(arguments.data, LONG_REVIEWS))
    if arguments.reviews:
        measure_windows(reader, long[-arguments.reviews :])
        print()
    for name, rows in (
        (WHOLE_REVIEWS, list(read_rows(dev_file(arguments.data, WHOLE_REVIEWS)))),
        (BUSINESS_REVIEWS, documents(arguments.data, BUSINESS_REVIEWS)[:MIXED_REVIEWS]),
    ):
        print(f"\n{name}\n")
        measure_mixed(reader, rows)


if __name__ == "__main__":
    main()
