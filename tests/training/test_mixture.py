"""A run's examples: their targets, their number, and no text that measures a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import HELD_OUT, Write
from training import emoji
from training.data import PROBE_FILES, PROBES, letters, read_rows
from training.example import Example
from training.mixture import Mixture, Said
from training.recipe import EVERY, Run, Sentences, Source, Written

NOTHING = Written()


def run(
    *sources: Source,
    written: Written = NOTHING,
    sentences: tuple[Sentences, ...] = (),
    languages: int = 0,
) -> Run:
    return Run("any", 1, 1e-4, 0.0, sources, written, sentences, languages)


def two_labels(texts: list[str]) -> Said:
    return Said.of(np.full((len(texts), 2), (0.4, 0.6)))


def three_labels(texts: list[str]) -> Said:
    return Said.of(np.full((len(texts), 3), (0.1, 0.5, 0.4)))


@pytest.fixture
def rows(write: Write, data: Path) -> Path:
    write(
        "train/rows",
        [
            ("negative", HELD_OUT),
            ("neutral", "It has six legs"),
            ("positive", "It sings"),
            ("positive", "Who sings?"),
        ],
    )
    return data


def by_text(examples: list[Example]) -> dict[str, Example]:
    return {example.text: example for example in examples}


def test_a_row_aims_half_at_its_label_and_half_at_its_teacher(rows: Path) -> None:
    source = Source("rows", EVERY, EVERY, EVERY, trust=0.8)
    found = by_text(Mixture(rows, run(source), three_labels).examples())

    assert set(found) == {"It has six legs", "It sings", "Who sings?"}
    assert found["It sings"].positive == pytest.approx((1 + 0.8) / 2)
    assert found["It sings"].neutral == pytest.approx((0.2 * 0.75 + 0.5) / 2)
    assert found["It has six legs"].neutral == pytest.approx((0.8 + 0.5) / 2)
    assert found["It has six legs"].positive == pytest.approx(0.8)


def test_a_teacher_of_two_labels_says_nothing_of_neutral(rows: Path) -> None:
    source = Source("rows", EVERY, EVERY, EVERY, trust=0.8)
    found = by_text(Mixture(rows, run(source), two_labels).examples())

    assert found["It has six legs"].neutral == pytest.approx(0.8)
    assert found["It sings"].positive == pytest.approx((1 + 0.6) / 2)


def test_a_source_draws_rows_again_where_there_are_too_few(rows: Path) -> None:
    drawn = Mixture(rows, run(Source("rows", positive=5)), two_labels).examples()
    assert sorted(example.text for example in drawn)[:2] == ["It sings", "It sings"]
    assert len(drawn) == 5


def test_a_source_may_keep_its_questions_alone(rows: Path) -> None:
    drawn = Mixture(rows, run(Source("rows", EVERY, 0, EVERY, questions=True)), two_labels)
    assert [example.text for example in drawn.examples()] == ["Who sings?"]


def test_the_sentences_of_reviews_aim_at_what_the_teacher_says(write: Write, data: Path) -> None:
    review = "The soup was cold that day. Nice. We all loved the bread anyway."
    write("train/reviews", [("positive", f"{review} {HELD_OUT}")])
    of_reviews = (Sentences(("reviews",), 9),)

    taught = Mixture(data, run(sentences=of_reviews), three_labels).examples()
    assert {example.text.rstrip(".") for example in taught} == {
        "The soup was cold that day",
        "We all loved the bread anyway",
    }
    assert {(example.neutral, example.neutral_weight) for example in taught} == {(0.5, 1.0)}
    # Who knows two labels answers one question.
    sided = Mixture(data, run(sentences=of_reviews), two_labels).examples()
    assert {(example.neutral_weight, example.positive) for example in sided} == {(0.0, 0.6)}


def test_written_texts_hold_no_probe(write: Write, data: Path) -> None:
    write("train/other_languages.unlabelled", [("de", "Das war gut"), ("ja", "食べ物")])
    counts = Written(
        facts=300,
        sided_facts=100,
        opinion_questions=300,
        emoji_alone=900,
        emoji_beside_phrases=600,
        unknown=20,
    )
    written = Mixture(data, run(written=counts, languages=2), two_labels).examples()
    probes = {
        letters(text) for name in PROBE_FILES for _, text in read_rows(PROBES / f"{name}.tsv")
    }

    assert not {example.text for example in written if letters(example.text) in probes}
    assert len(written) > 1_500
    assert {sign for example in written for sign in example.text} >= {"😀", "🙄"}
    assert by_text(written)["食べ物"].neutral == 0.5


def test_an_emoji_gives_a_neutral_text_its_side(rows: Path) -> None:
    source = Source("rows", neutral=500)
    mixture = Mixture(rows, run(source, written=Written(emoji_beside_texts=500)), two_labels)
    sad = {sign for target, group in emoji.EMOJI.items() if target[0] > 0.9 for sign in group}
    beside = [
        example
        for example in mixture.examples()
        if any(sign in example.text for sign in sad) and "legs" in example.text
    ]

    assert beside
    for example in beside:
        assert example.neutral < 0.3
        assert example.positive < 0.1
