"""One answer of several: windows to a text, sentences to how mixed they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from valence_service.backends.labels import read_scores
from valence_service.core.sentiment import Label, Polarity, Sentiment
from valence_service.serving.aggregation import combine, mixed

TWO = (Label("neg", -1.0), Label("pos", 1.0))
THREE = (Label("neg", -1.0), Label("neu", 0.0), Label("pos", 1.0))


def said(
    scores: Sequence[float],
    labels: Sequence[Label] = TWO,
    *,
    tokens: int = 10,
    probabilities: bool = True,
    layers: int = 6,
) -> Sentiment:
    return read_scores(
        scores,
        labels,
        probabilities=probabilities,
        tokens_total=tokens,
        tokens_used=tokens,
        tokens_unknown=0,
        layers_used=layers,
    )


def whole(windows: Sequence[Sentiment], labels: Sequence[Label] = TWO) -> Sentiment:
    return combine(windows, labels, tokens_total=100, tokens_unknown=7)


def test_windows_count_by_their_tokens() -> None:
    answer = whole([said([0.9, 0.1], tokens=30), said([0.1, 0.9], tokens=10)])
    assert [each.label for each in answer.scores] == ["neg", "pos"]
    assert [each.score for each in answer.scores] == pytest.approx([0.7, 0.3])
    assert answer.valence == pytest.approx(-0.4)
    assert answer.polarity is Polarity.NEGATIVE
    assert (answer.tokens_total, answer.tokens_used, answer.tokens_unknown) == (100, 100, 7)


def test_the_layers_are_those_of_the_deepest_window() -> None:
    windows = [said([0.9, 0.1], layers=layers) for layers in (2, 4, 2)]
    assert whole(windows).layers_used == 4


def test_the_answer_to_one_window_is_the_models() -> None:
    only = said([0.2, 0.3, 0.5], THREE, tokens=10)
    assert combine([only], THREE, tokens_total=10, tokens_unknown=0) is only


def test_the_only_window_that_shows_anything_has_the_counts_of_the_whole_text() -> None:
    only = said([0.2, 0.3, 0.5], THREE, tokens=10)
    answer = whole([only], THREE)
    assert (answer.tokens_total, answer.tokens_used, answer.tokens_unknown) == (100, 100, 7)
    assert (answer.scores, answer.valence) == (only.scores, only.valence)


def test_three_labels_are_ranked_anew() -> None:
    windows = [said([0.1, 0.5, 0.4], THREE), said([0.1, 0.3, 0.6], THREE)]
    answer = whole(windows, THREE)
    assert [each.label for each in answer.scores] == ["pos", "neu", "neg"]
    assert sum(each.score for each in answer.scores) == pytest.approx(1)
    assert answer.valence == pytest.approx(0.4)


def test_labels_of_one_name_keep_both_scores() -> None:
    labels = (Label("pos", 1.0), Label("neg", -1.0), Label("pos", 1.0))
    answer = whole([said([0.5, 0.2, 0.3], labels), said([0.1, 0.5, 0.4], labels)], labels)
    assert [each.label for each in answer.scores] == ["pos", "neg", "pos"]
    assert [each.score for each in answer.scores] == pytest.approx([0.45, 0.35, 0.2])


def test_a_regression_has_no_valence() -> None:
    labels = (Label("stars", None),)
    windows = [said([score], labels, probabilities=False) for score in (3.0, 5.0)]
    answer = whole(windows, labels)
    assert answer.scores[0].score == pytest.approx(4.0)
    assert answer.valence is None


def test_mixed_needs_both_sides() -> None:
    assert mixed([said([0.0, 1.0]), said([0.1, 0.9])]) == 0
    assert mixed([said([1.0, 0.0]), said([0.0, 1.0])]) == pytest.approx(1)
    assert mixed([said([0.75, 0.25]), said([0.25, 0.75])]) == pytest.approx(0.25)


def test_mixed_counts_a_long_sentence_by_the_root_of_its_tokens() -> None:
    sentences = [said([1.0, 0.0], tokens=90), said([0.0, 1.0], tokens=10)]
    assert mixed(sentences) == pytest.approx(2 / (math.sqrt(9) + 1))


def test_neutral_sentences_make_a_document_less_mixed() -> None:
    sides = [said([1.0, 0.0, 0.0], THREE), said([0.0, 0.0, 1.0], THREE)]
    assert mixed([*sides, said([0.0, 1.0, 0.0], THREE)]) == pytest.approx(2 / 3)


def test_mixed_is_unknown_without_valences() -> None:
    labels = (Label("LABEL_0", None), Label("LABEL_1", None))
    assert mixed([said([0.5, 0.5], labels)]) is None
