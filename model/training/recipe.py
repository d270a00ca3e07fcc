"""The recipe: which runs make the model, and which texts each of them reads.

Teachers learn from labels. Students learn from labels and from what the teachers say of texts
without a label of their own: sentences of long reviews, and sentences that bear the stars of the
whole review.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_TOKENS = 96
# Teachers are surer than they are right.
TEACHER_TEMPERATURE = 1.3


@dataclass(frozen=True)
class Source:
    """How one training file enters an epoch, its neutral rows left out.

    ``rows`` of None takes every row; a number draws that many anew in each epoch, as many
    negative as positive ones. Texts longer than ``max_tokens`` keep their head and their tail.
    """

    file: str
    rows: int | None = None
    max_tokens: int = MAX_TOKENS


@dataclass(frozen=True)
class Unlabelled:
    """How one training file enters an epoch by the texts alone; a model gives the labels.

    ``sentences`` splits its reviews into sentences. ``log_odds`` is what the row's own label,
    which is the whole review's, adds to the model's log-odds: doubtful sentences lean its way.
    """

    file: str
    rows: int
    log_odds: float
    sentences: bool = True


@dataclass(frozen=True)
class Run:
    """A training from one seed, the learning rate falling in a line."""

    name: str
    seed: int
    epochs: int
    learning_rate: float
    final_learning_rate: float
    sources: tuple[Source, ...]
    unlabelled: tuple[Unlabelled, ...] = ()
    min_words: int = 1


def _labelled(*, products: int, businesses: int, clothes: int) -> tuple[Source, ...]:
    """Everything with good labels; of long reviews only some, so that sentences prevail."""
    return (
        Source("sst2_detok.train_phrases"),
        Source("mr.all"),
        Source("sst3.train_sentences"),
        Source("vader_rated.movie"),
        # An edit that flips a review can stand anywhere in it, so these keep more of their text.
        Source("cad_imdb.train_original", max_tokens=160),
        Source("cad_imdb.train_revised", max_tokens=160),
        *(
            Source(f"amazon_multidomain.{category}_train80", rows=products)
            for category in ("books", "dvd", "electronics", "kitchen")
        ),
        Source("imdb.train", rows=800),
        Source("womens_clothing.train80", rows=clothes),
        Source("yelp10k.train80", rows=businesses),
        Source("goemotions.train"),
    )


_TEACHERS_READ = _labelled(products=400, businesses=2_600, clothes=600)
TEACHERS = (
    Run("teacher 1", 1, 2, 1e-4, 3.3e-5, _TEACHERS_READ),
    Run(
        "teacher 2",
        2,
        2,
        1e-4,
        3.3e-5,
        (*_TEACHERS_READ, Source("yelp_style_weak.test", rows=40_000)),
    ),
)
_STUDENTS_READ = _labelled(products=300, businesses=1_600, clothes=400)
_STUDENTS_ASK = (
    Unlabelled("yelp_style_weak.test", rows=35_000, log_odds=1.5, sentences=False),
    Unlabelled("imdb.train", rows=21_000, log_odds=0.7),
    Unlabelled("yelp10k.train80", rows=21_000, log_odds=1.0),
)
STUDENTS = tuple(
    Run(f"student {number}", 10 + number, 1, 6e-5, 0.0, _STUDENTS_READ, _STUDENTS_ASK, min_words=3)
    for number in (1, 2)
)
