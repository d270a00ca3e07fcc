"""The recipe: which runs make the model, and which texts each of them reads.

The first runs fine-tune the base on labels. The teacher, a larger model, learns from labels too.
The students continue from the mean of the first runs. They learn from labels, and from the
teacher's answers to sentences without a label of their own: those of longer reviews, and sentences
that carry the stars of the whole review.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_TOKENS = 96
# A sentence is doubtful where the students' start gives log-odds nearer to 0 than this, or another
# label than the review has.
DOUBT_LOG_ODDS = 2.0


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
    """How training files enter an epoch by their sentences alone; the teacher gives the labels.

    ``doubtful`` and ``others`` are the numbers of sentences drawn; doubtful ones teach most.
    ``log_odds`` is added to the teacher's log-odds with the sign of the review's label, so that an
    ambiguous sentence leans towards its review.
    """

    files: tuple[str, ...]
    doubtful: int
    others: int
    log_odds: float


@dataclass(frozen=True)
class Run:
    """A training from one seed, with a learning rate that falls in a line.

    Each layer learns at ``layer_decay`` times the rate of the one above. ``frozen_layers`` above 0
    freezes that many of the lowest layers, and the word vectors.
    """

    name: str
    seed: int
    epochs: int
    learning_rate: float
    final_learning_rate: float
    sources: tuple[Source, ...]
    min_words: int = 1
    layer_decay: float = 1.0
    frozen_layers: int = 0


_CATEGORIES = ("books", "dvd", "electronics", "kitchen")


def _labelled(*, products: int, businesses: int, clothes: int) -> tuple[Source, ...]:
    """Return everything with good labels, but only some long reviews, so that sentences prevail."""
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
            for category in _CATEGORIES
        ),
        Source("imdb.train", rows=800),
        Source("womens_clothing.train80", rows=clothes),
        Source("yelp10k.train80", rows=businesses),
        Source("goemotions.train"),
    )


_FIRST_READ = _labelled(products=400, businesses=2_600, clothes=600)
FIRST = (
    Run(
        name="first 1",
        seed=1,
        epochs=2,
        learning_rate=1e-4,
        final_learning_rate=3.3e-5,
        sources=_FIRST_READ,
    ),
    Run(
        name="first 2",
        seed=2,
        epochs=2,
        learning_rate=1e-4,
        final_learning_rate=3.3e-5,
        sources=(*_FIRST_READ, Source("yelp_style_weak.test", rows=40_000)),
    ),
)
# A step takes eight times a student's, so it reads less.
TEACHER = Run(
    name="teacher",
    seed=1,
    epochs=1,
    learning_rate=5e-5,
    final_learning_rate=0.0,
    sources=(
        Source("sst2_detok.train_phrases", rows=46_000),
        Source("mr.all"),
        Source("sst3.train_sentences"),
        Source("vader_rated.movie"),
        Source("cad_imdb.train_revised", max_tokens=128),
        *(Source(f"amazon_multidomain.{category}_train80", rows=200) for category in _CATEGORIES),
        Source("imdb.train", rows=300),
        Source("womens_clothing.train80", rows=300),
        Source("yelp10k.train80", rows=1_500),
        Source("goemotions.train", rows=8_000),
    ),
    min_words=5,
    layer_decay=0.95,
    frozen_layers=3,
)
_STUDENTS_READ = _labelled(products=300, businesses=1_600, clothes=400)
UNLABELLED = (
    Unlabelled(("yelp10k.train80",), doubtful=22_000, others=18_000, log_odds=0.7),
    Unlabelled(("womens_clothing.train80",), doubtful=500, others=2_500, log_odds=0.5),
    Unlabelled(
        tuple(f"amazon_multidomain.{category}_train80" for category in _CATEGORIES),
        doubtful=11_500,
        others=3_000,
        log_odds=0.5,
    ),
    Unlabelled(
        ("yelp_style_weak.dev", "yelp_style_weak.test"),
        doubtful=17_500,
        others=11_500,
        log_odds=1.0,
    ),
    Unlabelled(("imdb.train",), doubtful=17_500, others=6_000, log_odds=0.5),
)
STUDENTS = tuple(
    Run(
        name=f"student {number}",
        seed=10 + number,
        epochs=1,
        learning_rate=8e-5,
        final_learning_rate=0.0,
        sources=_STUDENTS_READ,
        min_words=3,
    )
    for number in (1, 2)
)
