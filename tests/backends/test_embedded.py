"""The embedded model is an ordinary folder that reads people's plain words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import transformers
import valence_model
from safetensors import safe_open
from valence_service.backends.self_check import SelfCheck

from tests.support.loading import load

FOLDER = Path(valence_model.path())

PLAIN = {
    "POSITIVE": [
        "I loved every minute of it",
        "Not bad at all, actually quite good.",
        "The staff were friendly and helped us at once.",
        "best purchase i've made in years!!",
        "You won't regret it.",
        "A quiet, moving film that stayed with me for days.",
    ],
    "NEGATIVE": [
        "What a waste of an evening.",
        "It isn't good, and it isn't cheap either.",
        "The soup was cold and the waiter was rude.",
        "stopped working after two days, do not buy",
        "I expected so much more from this director.",
        "Never again.",
    ],
}


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return transformers.pipeline("sentiment-analysis", model=valence_model.path(), device="cpu")


def test_it_is_small_and_in_half_precision() -> None:
    weights = FOLDER / "model.safetensors"
    assert weights.stat().st_size < 50_000_000
    with safe_open(weights, "pt") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118  no mapping
    assert kinds == {"F16"}


def test_its_configuration_says_what_it_is() -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert config["problem_type"] == "single_label_classification"
    assert str(Path.home()) not in json.dumps(config), "a path of the machine that trained it"


@pytest.mark.parametrize("label", PLAIN)
def test_it_reads_plain_words(pipeline: Any, label: str) -> None:
    for text in PLAIN[label]:
        assert pipeline(text)[0]["label"] == label, text


@pytest.mark.parametrize(
    ("precision", "apart"),
    [("f32", 1e-3), ("int8", 0.1), pytest.param("bf16", 0.05, marks=pytest.mark.full)],
)
def test_compiled_it_reads_the_same(pipeline: Any, precision: str, apart: float) -> None:
    texts = [text for group in PLAIN.values() for text in group]
    compiled = load(None, engine="openvino", precision=precision)
    for sentiment, expected in zip(compiled.classify(texts), pipeline(texts), strict=True):
        assert sentiment.scores[0].label == expected["label"]
        assert sentiment.scores[0].score == pytest.approx(expected["score"], abs=apart)


def test_its_int8_form_is_small() -> None:
    assert sum(file.stat().st_size for file in (FOLDER / "openvino").iterdir()) < 25_000_000


def test_it_is_unsure_where_there_is_little_to_say(pipeline: Any) -> None:
    sure, unsure = pipeline(["Absolutely wonderful, I adored it.", "The shop is next to a school."])
    assert sure["score"] > 0.8
    assert unsure["score"] < 0.7


@pytest.mark.full
@pytest.mark.parametrize("precision", ["int8", "f32"])
def test_it_passes_the_self_check_that_follows_its_start(precision: str) -> None:
    classifier = load(None, engine="openvino", precision=precision)
    reference = load(None, engine="pipeline", self_check=False)
    check = SelfCheck(512, precision, reference=lambda text: reference.classify([text])[0])
    check.run(classifier.classify, max_seconds=math.inf)
    assert len(check.known) > 12
