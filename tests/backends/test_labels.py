"""What label names say, and what they do not."""

from __future__ import annotations

import re

import pytest
from valence_service.backends.labels import (
    label_names,
    parse_label_valence,
    read_labels,
    read_scores,
)
from valence_service.core.sentiment import Polarity, Sentiment


def valences(*names: str, **mapped: float) -> list[float | None]:
    return [label.valence for label in read_labels(names, mapped)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["NEGATIVE", "POSITIVE"], [-1, 1]),
        (["neg", "neu", "pos"], [-1, 0, 1]),
        (["Positive", "Neutral", "Negative"], [1, 0, -1]),
        (
            ["Very Negative", "Negative", "Neutral", "Positive", "very_positive"],
            [-1, -0.5, 0, 0.5, 1],
        ),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], [-1, -0.5, 0, 0.5, 1]),
        (["★", "★★", "★★★"], [-1, 0, 1]),
        (["STARS_1", "STARS_2"], [-1, 1]),
        (["positive", "negative", "sarcastic"], [1, -1, None]),
        (["LABEL_0", "LABEL_1"], [None, None]),
        (["0", "1"], [None, None]),
        (["joy", "anger"], [None, None]),
        (["1 star", "joy"], [None, None]),
        (["5 stars"], [None]),
        (["not positive", "positively electric"], [None, None]),
    ],
)
def test_names_that_read_as_sentiment_have_a_valence(
    names: list[str], expected: list[float | None]
) -> None:
    assert valences(*names) == expected


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_scores_that_are_not_numbers_make_no_sentiment(wrong: float) -> None:
    labels = read_labels(["neg", "pos"], {})
    with pytest.raises(ValueError, match="not numbers"):
        read_scores(
            [0.5, wrong],
            labels,
            probabilities=True,
            tokens_total=3,
            tokens_used=3,
            tokens_unknown=0,
            layers_used=6,
        )


def test_the_operator_goes_before_the_name() -> None:
    assert valences("positive", "LABEL_1", positive=-1, LABEL_1=0.25) == [-1, 0.25]


def test_a_label_that_is_not_there_cannot_be_mapped() -> None:
    with pytest.raises(ValueError, match=r"no label 'LABEL_7'; it has 'LABEL_0', 'LABEL_1'$"):
        read_labels(["LABEL_0", "LABEL_1"], {"LABEL_7": 1})


def test_of_many_labels_the_refusal_shows_some() -> None:
    with pytest.raises(ValueError, match=r"no label 'x'; it has '0\\n', .*'19\\n' and 9980 more$"):
        read_labels([f"{number}\n" for number in range(10_000)], {"x": 1})


def sentiment(scores: dict[str, float], *, probabilities: bool = True) -> Sentiment:
    return read_scores(
        list(scores.values()),
        read_labels(list(scores), {}),
        probabilities=probabilities,
        tokens_total=3,
        tokens_used=3,
        tokens_unknown=0,
        layers_used=6,
    )


def test_valence_is_the_expected_value() -> None:
    assert sentiment({"neg": 0.2, "neu": 0.3, "pos": 0.5}).valence == pytest.approx(0.3)


def test_multi_label_scores_count_in_proportion() -> None:
    assert sentiment({"neg": 0.3, "pos": 0.9}).valence == pytest.approx(0.5)


def test_polarity_is_the_top_labels() -> None:
    assert sentiment({"neg": 0.2, "neu": 0.5, "pos": 0.3}).polarity is Polarity.NEUTRAL


@pytest.mark.parametrize(("score", "side"), [(0.9, Polarity.POSITIVE), (0.1, Polarity.NEGATIVE)])
def test_a_lone_label_stands_for_two(score: float, side: Polarity) -> None:
    answer = sentiment({"positive": score})
    assert answer.valence == pytest.approx(2 * score - 1)
    assert answer.polarity is side


def test_one_label_unknown_leaves_valence_unknown() -> None:
    answer = sentiment({"positive": 0.7, "negative": 0.1, "sarcastic": 0.2})
    assert answer.valence is None
    assert answer.polarity is Polarity.POSITIVE


def test_raw_scores_have_no_expected_value() -> None:
    assert sentiment({"neg": -3.0, "pos": 7.5}, probabilities=False).valence is None


def test_label_valences() -> None:
    assert parse_label_valence("") == {}
    assert parse_label_valence("LABEL_0=-1, so so=0.5,a=b=1") == {
        "LABEL_0": -1.0,
        "so so": 0.5,
        "a=b": 1.0,
    }


@pytest.mark.parametrize("text", ["LABEL_0", "=1", "a=2", "a=nan", "a=much", "a=1,b"])
def test_wrong_label_valences(text: str) -> None:
    with pytest.raises(ValueError, match="is not LABEL=NUMBER with a number from -1 to 1"):
        parse_label_valence(text)


def test_a_label_has_one_valence() -> None:
    with pytest.raises(ValueError, match="'a' is named twice: give each label one valence"):
        parse_label_valence("a=1,b=0, a=-1")


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, ["LABEL_0", "LABEL_1"]),
        ({"id2label": None, "num_labels": 3}, ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ({"id2label": {}, "num_labels": 1}, ["LABEL_0"]),
        ({"id2label": {"1": "b", "0": "a"}, "num_labels": 2}, ["a", "b"]),
        ({"id2label": {"0": 1, "1": 2.5, "2": True}}, ["1", "2.5", "true"]),
        ({"id2label": {"0": "a", "1": "a"}}, ["a", "a"]),
    ],
)
def test_the_names_of_a_configuration(config: dict[str, object], names: list[str]) -> None:
    assert label_names(config) == names


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"id2label": {"0": "a", "1": None}}, "id2label: the name of id 1 is null: give it a text"),
        ({"id2label": {"0": ["a"]}}, 'the name of id 0 is ["a"]'),
        ({"id2label": {"0": "a", "1": "\ud800"}}, "the name of id 1 is not valid Unicode"),
        ({"id2label": {"0": "a", "2": "b"}}, "has 2 names, and none for id 1: number them from 0"),
        ({"id2label": {"1": "a", "01": "b"}}, "has 2 names, and none for id 0"),
        ({"id2label": {"joy": 0}}, "id2label: 'joy' is no id: number the names from 0"),
        ({"id2label": ["a", "b"]}, "id2label: is no object of ids and names"),
        ({"id2label": {"0": "a"}, "num_labels": 2}, "num_labels is 2, and id2label has 1 names"),
        ({"num_labels": "3"}, "num_labels: '3' is not the number of labels"),
        ({"num_labels": 0}, "num_labels: 0 is not the number of labels"),
    ],
)
def test_a_wrong_entry_is_named(config: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        label_names(config)
