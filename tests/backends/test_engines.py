"""Every engine says what transformers.pipeline says, however texts are batched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers
import valence_model
from valence_service.backends.source import MAX_TOKENS_WITHOUT_LIMIT
from valence_service.core.sentiment import Polarity, Sentiment

from tests.support import models
from tests.support.loading import load

KINDS: dict[str, tuple[list[str], str | None]] = {
    "three labels": (["negative", "neutral", "positive"], "single_label_classification"),
    "stars": ([f"{n} star{'s' * (n > 1)}" for n in range(1, 6)], None),
    "lone sigmoid": (["positive"], None),
    "multi-label": (["POS", "NEG", "sarcastic"], "multi_label_classification"),
    "regression": (["score"], "regression"),
}


ENGINES = ["pipeline", "openvino"]


def reference(name: str, texts: list[str]) -> list[dict[str, float]]:
    """One text at a time through the plain pipeline, without any of our code."""
    pipeline: Any = transformers.pipeline("sentiment-analysis", model=name, device="cpu")
    return [
        {item["label"]: item["score"] for item in pipeline([text], top_k=None, truncation=True)[0]}
        for text in texts
    ]


def assert_same(sentiments: list[Sentiment], expected: list[dict[str, float]]) -> None:
    for sentiment, scores in zip(sentiments, expected, strict=True):
        assert {s.label: s.score for s in sentiment.scores} == pytest.approx(scores, abs=1e-3)
        ranked = [s.score for s in sentiment.scores]
        assert ranked == sorted(ranked, reverse=True)


@pytest.fixture(scope="module", params=KINDS)
def known(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[str], list[dict[str, float]]]:
    """The folder of a model, texts, and what is right of them."""
    labels, problem_type = KINDS[request.param]
    path = tmp_path_factory.mktemp("kinds") / "model"
    folder = models.make_model(path, labels, problem_type=problem_type)
    texts = [*models.TEXTS, *reversed(models.TEXTS)]
    return folder, texts, reference(folder, texts)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("max_micro_batch_tokens", [16, pytest.param(4096, marks=pytest.mark.full)])
def test_scores_are_the_pipelines(
    engine: str, known: tuple[str, list[str], list[dict[str, float]]], max_micro_batch_tokens: int
) -> None:
    folder, texts, expected = known
    sentiments = load(
        folder, engine=engine, max_micro_batch_tokens=max_micro_batch_tokens
    ).classify(texts)
    assert_same(list(sentiments), expected)
    assert len({sentiment.scores for sentiment in sentiments}) > 3, "the model has no opinion"


@pytest.mark.full
def test_the_embedded_model_scores_as_its_folder_does_in_a_pipeline(engine: str) -> None:
    texts = [
        "I loved every minute of it",
        "Dreadful. " * 700,
        "It opens at nine.",
        "not bad at all",
    ]
    sentiments = list(load(None, engine=engine).classify(texts))
    assert_same(sentiments, reference(valence_model.path(), texts))
    assert [s.polarity for s in sentiments[:2]] == [Polarity.POSITIVE, Polarity.NEGATIVE]
    assert [s.truncated for s in sentiments] == [False, True, False, False]


def test_positions_before_the_first_token_do_not_count(engine: str, tmp_path: Path) -> None:
    folder = models.make_offset_model(tmp_path / "roberta")
    classifier = load(folder, engine=engine)
    assert classifier.info.max_tokens == 33
    (sentiment,) = classifier.classify(["good " * 100])
    assert (sentiment.tokens_total, sentiment.tokens_used) == (102, 33)


def test_a_model_without_a_limit_reads_as_much_as_attention_bears(tmp_path: Path) -> None:
    folder = models.make_unlimited_model(tmp_path / "xlnet")
    classifier = load(folder)
    assert classifier.info.max_tokens == MAX_TOKENS_WITHOUT_LIMIT
    sentiments = list(classifier.classify(["good " * 600, "bad"]))
    assert [s.tokens_used for s in sentiments] == [MAX_TOKENS_WITHOUT_LIMIT, 3]
    assert_same(sentiments, reference(folder, ["good " * 510, "bad"]))


@pytest.mark.parametrize("pad_token_id", [None, pytest.param(-1, marks=pytest.mark.full)])
def test_a_model_that_cannot_pad_gets_one_text_a_micro_batch(
    engine: str, pad_token_id: int | None, tmp_path: Path
) -> None:
    folder = models.make_unpaddable_model(tmp_path / "gpt2", pad_token_id)
    texts = list(models.TEXTS)
    assert_same(list(load(folder, engine=engine).classify(texts)), reference(folder, texts))


def test_tokens_are_counted_and_truncation_told(engine: str, two_labels: str) -> None:
    short, exact, long = load(two_labels, engine=engine).classify(
        ["good", "good " * 62, "good " * 63]
    )
    assert (short.tokens_total, short.tokens_used, short.truncated) == (3, 3, False)
    assert (exact.tokens_total, exact.tokens_used, exact.truncated) == (64, 64, False)
    assert (long.tokens_total, long.tokens_used, long.truncated) == (65, 64, True)


def test_a_truncated_text_scores_as_its_beginning(engine: str, two_labels: str) -> None:
    whole, beginning = load(two_labels, engine=engine).classify(
        ["good bad " * 40, "good bad " * 31]
    )
    assert [s.score for s in whole.scores] == pytest.approx([s.score for s in beginning.scores])


@pytest.mark.parametrize("file", ["tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    ("engine", "model"),
    [
        ("pipeline", "two_labels"),
        ("openvino", "two_labels"),
        pytest.param("openvino", "traced", marks=pytest.mark.full),
    ],
)
def test_the_beginning_is_read_whatever_side_the_tokenizer_truncates(
    engine: str, model: str, file: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = shutil.copytree(request.getfixturevalue(model), tmp_path / "model")
    content = json.loads((folder / file).read_text())
    content |= {
        "tokenizer.json": {
            "truncation": {
                "direction": "Left",
                "max_length": 64,
                "strategy": "LongestFirst",
                "stride": 0,
            }
        },
        "tokenizer_config.json": {"truncation_side": "left"},
    }[file]
    (folder / file).write_text(json.dumps(content))
    classifier = load(str(folder), engine=engine)
    whole, beginning, end = classifier.classify(
        ["good " * 62 + "bad " * 62, "good " * 62, "bad " * 62]
    )
    assert classifier.info.engine == engine
    assert whole.scores[0].score == pytest.approx(beginning.scores[0].score, abs=1e-3)
    assert whole.scores[0].score != pytest.approx(end.scores[0].score, abs=1e-2)


def test_stars_give_their_expected_value(tmp_path: Path) -> None:
    labels, _ = KINDS["stars"]
    (sentiment,) = load(models.make_model(tmp_path / "stars", labels)).classify(["the film"])
    stars = {s.label: s.score for s in sentiment.scores}
    expected = sum((index - 2) / 2 * stars[label] for index, label in enumerate(labels))
    assert sentiment.valence == pytest.approx(expected)


def test_a_regression_has_no_valence(engine: str, tmp_path: Path) -> None:
    folder = models.make_model(tmp_path / "raw", ["positive"], problem_type="regression")
    (sentiment,) = load(folder, engine=engine).classify(["the film"])
    assert sentiment.valence is None
    assert sentiment.polarity is Polarity.UNSPECIFIED


def test_labels_without_meaning_stay_without_until_mapped(tmp_path: Path) -> None:
    folder = models.make_model(tmp_path / "plain", ["LABEL_0", "LABEL_1"])
    (unmapped,) = load(folder).classify(["the film"])
    assert unmapped.valence is None
    assert unmapped.polarity is Polarity.UNSPECIFIED
    (mapped,) = load(folder, LABEL_0=-1.0, LABEL_1=1.0).classify(["the film"])
    scores = {s.label: s.score for s in mapped.scores}
    assert mapped.valence == pytest.approx(scores["LABEL_1"] - scores["LABEL_0"])
    assert mapped.polarity is Polarity.of(mapped.valence)
