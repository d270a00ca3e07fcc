"""A model's answers are its own, alone and in company, or it is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import transformers
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs
from valence_service.backends.load import ModelUnusable
from valence_service.backends.self_check import SelfCheck, WrongAnswers
from valence_service.core.sentiment import LabelScore, Polarity, Sentiment

from tests.support import models
from tests.support.architectures import make_architecture
from tests.support.loading import load


def texts_of(*words: int) -> list[str]:
    chosen = random.Random(1)  # noqa: S311  # no secret
    return [" ".join(chosen.choice(models.WORDS) for _ in range(count)) for count in words]


def right_scores(folder: str, texts: list[str]) -> list[dict[str, float]]:
    """One text at a time through the plain pipeline, without any of our code."""
    pipeline: Any = transformers.pipeline("text-classification", model=folder, device="cpu")
    return [
        {item["label"]: item["score"] for item in pipeline([text], top_k=None, truncation=True)[0]}
        for text in texts
    ]


def assert_right(sentiments: Sequence[Sentiment], expected: list[dict[str, float]]) -> None:
    for sentiment, scores in zip(sentiments, expected, strict=True):
        assert {s.label: s.score for s in sentiment.scores} == pytest.approx(scores, abs=1e-3)


ONE_BY_ONE = "one_text_at_a_time"


@pytest.mark.parametrize(
    ("kind", "own", "engine", "warnings"),
    [
        # Where half a local window is padding, OpenVINO's attention gives no number.
        pytest.param("modernbert", {}, "openvino", [ONE_BY_ONE], marks=pytest.mark.full),
        # Its Fourier transform mixes the padding in.
        ("fnet", {}, "openvino", [ONE_BY_ONE]),
        # It numbers the padding's positions, and so moves the text's.
        pytest.param(
            *("gpt_neo", {"padding_side": "left"}, "openvino", [ONE_BY_ONE]), marks=pytest.mark.full
        ),
        # OpenVINO converts it, and fails at the first text.
        pytest.param("bart", {}, "pipeline", ["engine"], marks=pytest.mark.full),
    ],
)
def test_an_architecture_is_served_as_it_answers_right(
    kind: str, own: dict[str, Any], engine: str, warnings: list[str], tmp_path: Path
) -> None:
    folder = make_architecture(kind, tmp_path / kind, **own)
    texts = texts_of(11, 255, 3, 31, 257, 600, 8)
    with capture_logs() as logged:
        classifier = load(folder, engine="auto")

    expected = right_scores(folder, texts)
    assert_right([classifier.classify([text])[0] for text in texts], expected)
    assert_right(classifier.classify(texts), expected)
    assert classifier.info.engine == engine
    assert [entry["event"] for entry in logged if entry["log_level"] == "warning"] == warnings


def amended(folder: str, **settings: Any) -> str:
    """The same model with other settings of its tokenizer."""
    path = Path(folder) / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


TOKEN_TYPES = {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}


@pytest.mark.full
@pytest.mark.parametrize(
    ("made", "tokenizer", "engine", "served"),
    [
        # It adds a word's embedding for each token type, which the conversion left out.
        (("gpt2", {}), TOKEN_TYPES, "auto", ("pipeline", False)),
        # It looks for the last token that is not its own padding token.
        (("gpt2", {}), {"pad_token": "[MASK]"}, "pipeline", ("pipeline", True)),
        # It numbers positions from the left, padding included; a graph that is built pads right.
        (("bert", {"padding_side": "left"}), {}, "auto", ("openvino", False)),
        (("bert", {"padding_side": "left"}), {}, "pipeline", ("pipeline", True)),
        # Padded left, OpenVINO's attention gives no number.
        (("opt", {"padding_side": "left"}), {}, "auto", ("openvino", True)),
    ],
)
def test_a_tokenizer_that_does_not_suit_its_model_changes_no_answer(
    made: tuple[str, dict[str, Any]],
    tokenizer: dict[str, Any],
    engine: str,
    served: tuple[str, bool],
    tmp_path: Path,
) -> None:
    kind, own = made
    folder = amended(make_architecture(kind, tmp_path / kind, **own), **tokenizer)
    texts = texts_of(3, 11, 31, 19, 8)
    classifier: Any = load(folder, engine=engine)

    expected = right_scores(folder, texts)
    assert_right([classifier.classify([text])[0] for text in texts], expected)
    assert_right(classifier.classify(texts), expected)
    assert (classifier.info.engine, classifier.one_by_one) == served


def test_the_pipeline_too_takes_one_text_at_a_time_where_padding_changes_answers(
    tmp_path: Path,
) -> None:
    folder = make_architecture("fnet", tmp_path / "fnet")
    texts = texts_of(11, 3, 31)
    classifier: Any = load(folder, engine="pipeline")
    assert_right(classifier.classify(texts), right_scores(folder, texts))
    assert classifier.one_by_one
    unchecked = load(folder, engine="pipeline", self_check=False)
    with pytest.raises(AssertionError):
        assert_right(unchecked.classify(texts), right_scores(folder, texts))


def without_numbers(folder: str, name: str) -> str:
    """The same model with infinite weights in a layer."""
    path = Path(folder) / "model.safetensors"
    weights = load_file(path)
    weights[name].fill_(float("inf"))
    save_file(weights, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("engine", ["auto", "openvino", "pipeline"])
@pytest.mark.parametrize(
    "problem_type", ["single_label_classification", "multi_label_classification"]
)
def test_a_model_without_right_answers_is_refused(
    engine: str, problem_type: str, tmp_path: Path
) -> None:
    # A sigmoid would make a sure answer of an infinite logit.
    folder = models.make_model(tmp_path / "lost", ["neg", "pos"], problem_type=problem_type)
    without_numbers(folder, "classifier.bias")
    with pytest.raises(ModelUnusable, match=r"lost .*wrong.*logits are not numbers"):
        load(folder, engine=engine)


def answer(*scores: float, tokens: int = 9) -> Sentiment:
    return Sentiment(
        scores=tuple(LabelScore(f"LABEL_{index}", score) for index, score in enumerate(scores)),
        polarity=Polarity.UNSPECIFIED,
        valence=None,
        tokens_total=tokens,
        tokens_used=tokens,
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_sentiment_holds_numbers(number: float) -> None:
    with pytest.raises(ValueError, match="not numbers"):
        answer(0.5, number)


@pytest.mark.parametrize(
    ("right", "given", "precision", "same"),
    [
        ((0.6, 0.4), (0.6005, 0.3995), "f32", True),
        ((0.6, 0.4), (0.602, 0.398), "f32", False),
        ((0.6, 0.4), (0.63, 0.37), "int8", True),
        # Both are sure, and yet not alike.
        ((0.9999, 0.0001), (0.9995, 0.0005), "f32", False),
        # A regression's number.
        ((40.0,), (40.01,), "f32", True),
        ((40.0,), (40.1,), "f32", False),
    ],
)
def test_answers_are_compared_by_precision(
    right: tuple[float, ...], given: tuple[float, ...], precision: str, same: bool
) -> None:
    check = SelfCheck(512, precision)
    check.compare(["text"], [answer(*right)])
    if same:
        check.compare(["text", "text"], [answer(*given), answer(*right)])
    else:
        with pytest.raises(WrongAnswers, match="9 tokens beside 1 others scores"):
            check.compare(["text", "text"], [answer(*given), answer(*right)])


def test_texts_span_what_the_model_reads_and_each_meets_company() -> None:
    computed: list[list[str]] = []

    def classify(texts: Sequence[str]) -> list[Sentiment]:
        computed.append(list(texts))
        return [answer(0.5, tokens=2 * len(text.split())) for text in texts]

    SelfCheck(300, "f32").run(classify)
    tokens = {2 * len(text.split()) for texts in computed for text in texts}
    assert min(tokens) <= 6
    assert max(tokens) >= 300
    assert len(tokens) >= 2 * 6
    alone = {texts[0] for texts in computed[1:] if len(texts) == 1}
    assert alone
    for text in alone:
        assert any(text in texts for texts in computed if len(texts) > 1)


def test_a_slow_model_is_tried_on_a_pair_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    def classify(texts: Sequence[str]) -> list[Sentiment]:
        computed.append(len(texts))
        return [answer(0.5)] * len(texts)

    SelfCheck(512, "f32").run(classify, max_seconds=0)
    assert computed == [1, 1, 2]
