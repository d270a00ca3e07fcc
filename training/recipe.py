"""The recipe: which runs make the model, and which texts each of them reads.

Every text asks two questions. Is it neutral? And if it has a side, which one? A file may know the
answer to both, or to one: reviews with two labels say nothing of what is neutral. So each question
has a target and a weight of its own, and their sum is the loss; for a text that answers both it is
the cross-entropy of three classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.example import MAX_TOKENS

# After these layers a head answers too.
EXITS = (2, 3, 4)
# The first student's answers with a side and this score or more need no teacher.
SURE = 0.8
EVERY = 1_000_000  # rows: all that there are


@dataclass(frozen=True)
class Source:
    """How one training file enters a run.

    ``negative``, ``neutral`` and ``positive`` are the rows drawn of each label; more than there are
    repeat some, and EVERY takes each once. ``trust`` is the probability that a label is right. The
    first question, whether a text is neutral, weighs ``neutral_weight``. ``questions`` keeps the
    rows that end in a question mark. Texts longer than ``max_tokens`` keep their head and tail.
    """

    file: str
    negative: int = 0
    neutral: int = 0
    positive: int = 0
    trust: float = 0.9
    neutral_weight: float = 1.0
    questions: bool = False
    max_tokens: int = MAX_TOKENS


@dataclass(frozen=True)
class Sentences:
    """How many single sentences of files' reviews enter a run; teachers alone give their labels."""

    files: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Written:
    """How many texts enter a run that no file holds: see writer.py."""

    facts: int = 0
    sided_facts: int = 0
    opinion_questions: int = 0
    emoji_alone: int = 0
    emoji_beside_texts: int = 0
    emoji_beside_phrases: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class Run:
    """A training from one seed, with a learning rate that falls in a line.

    ``languages`` texts are in other languages. ``frozen_layers`` above 0 freezes that many of the
    lowest layers, and the word vectors. Each layer learns at ``layer_decay`` times the rate of the
    one above.
    """

    name: str
    seed: int
    learning_rate: float
    final_learning_rate: float
    sources: tuple[Source, ...]
    written: Written
    sentences: tuple[Sentences, ...] = ()
    languages: int = 0
    layer_decay: float = 1.0
    frozen_layers: int = 0


_CATEGORIES = ("books", "dvd", "electronics", "kitchen")
REVIEW_SENTENCES = (
    Sentences(("yelp10k.train80",), 2_500),
    Sentences(tuple(f"amazon_multidomain.{category}_train80" for category in _CATEGORIES), 1_000),
    Sentences(("yelp_style_weak.dev", "yelp_style_weak.test"), 1_500),
    Sentences(("imdb.train",), 500),
)


def _two_labels(file: str, each: int, max_tokens: int = 96) -> Source:
    """Return whole reviews, labelled negative or positive."""
    return Source(file, each, 0, each, neutral_weight=0.3, max_tokens=max_tokens)


def _sentences_with_stars(each: int) -> Source:
    """Return sentences labelled by the stars of their review; a third or so have no side."""
    return Source("yelp_style_weak.test", each, 0, each, trust=0.6, neutral_weight=0.3)


FIRST = Run(
    name="first",
    seed=1,
    learning_rate=7e-5,
    final_learning_rate=1e-5,
    sources=(
        Source("semeval_twitter.train", 5_500, 5_000, 5_000),
        Source("kaggle_tweets.train", 500, 600, 500, trust=0.75),
        Source("goemotions.train", 3_500, 4_000, 3_500, trust=0.85),
        Source("sst3.train_sentences", 2_600, 3_200, 2_600),
        Source("vader_rated.movie", 1_500, 500, 1_500, trust=0.85),
        Source("subj.objective_neutral", neutral=2_000, trust=0.85),
        Source("trec.questions_neutral", neutral=2_000, trust=0.97),
        Source("sst2_detok.train_phrases", 4_000, 0, 4_000, neutral_weight=0.15),
        Source("mr.all", 1_200, 0, 1_200, trust=0.85, neutral_weight=0.6),
        _two_labels("cad_imdb.train_revised", 500),
        *(_two_labels(f"amazon_multidomain.{category}_train80", 50) for category in _CATEGORIES),
        _two_labels("imdb.train", 100),
        # Three stars are mixed feelings more often than none.
        Source("yelp10k.train80", 300, 200, 300, trust=0.6, neutral_weight=0.5),
        Source("womens_clothing.train80", 150, 100, 150, trust=0.6, neutral_weight=0.5),
        Source("semeval_twitter.train", 300, 0, 600, questions=True),
        Source("kaggle_tweets.train", 150, 0, 150, trust=0.75, questions=True),
        Source("goemotions.train", 300, 0, 300, trust=0.85, questions=True),
    ),
    written=Written(
        facts=1_500,
        sided_facts=700,
        opinion_questions=1_000,
        emoji_alone=1_300,
        emoji_beside_texts=2_500,
        emoji_beside_phrases=1_500,
        unknown=250,
    ),
    sentences=REVIEW_SENTENCES,
    languages=5_000,
)

# A step takes several times a student's, so it reads less.
TEACHER = Run(
    name="teacher",
    seed=2,
    learning_rate=5e-5,
    final_learning_rate=0.0,
    sources=(
        Source("semeval_twitter.train", 2_600, 2_400, 2_400),
        Source("goemotions.train", 2_000, 2_200, 2_000, trust=0.85),
        Source("sst3.train_sentences", 2_000, 1_600, 2_000),
        Source("vader_rated.movie", 600, 300, 600, trust=0.85),
        Source("subj.objective_neutral", neutral=400, trust=0.85),
        Source("trec.questions_neutral", neutral=300, trust=0.97),
        Source("sst2_detok.train_phrases", 1_500, 0, 1_500, neutral_weight=0.15),
        Source("mr.all", 500, 0, 500, trust=0.85, neutral_weight=0.6),
        _two_labels("cad_imdb.train_revised", 150),
        *(_two_labels(f"amazon_multidomain.{category}_train80", 50) for category in _CATEGORIES),
        Source("yelp10k.train80", 400, 200, 400, trust=0.6, neutral_weight=0.5),
        Source("womens_clothing.train80", 100, 50, 100, trust=0.6, neutral_weight=0.5),
        _sentences_with_stars(1_000),
        Source("semeval_twitter.train", 100, 0, 200, questions=True),
        Source("goemotions.train", 100, 0, 100, trust=0.85, questions=True),
    ),
    written=Written(facts=200, sided_facts=150, opinion_questions=200),
    layer_decay=0.95,
    frozen_layers=6,
)
SECOND = Run(
    name="second",
    seed=3,
    learning_rate=5e-5,
    final_learning_rate=0.0,
    sources=(*FIRST.sources, _sentences_with_stars(3_000)),
    # Short texts cost little, and some signs need more than a few to be learned.
    written=Written(
        facts=1_200,
        sided_facts=800,
        opinion_questions=1_600,
        emoji_alone=3_000,
        emoji_beside_texts=3_000,
        emoji_beside_phrases=3_000,
        unknown=250,
    ),
    languages=FIRST.languages,
    sentences=(
        Sentences(("yelp10k.train80",), 10_000),
        Sentences(
            tuple(f"amazon_multidomain.{category}_train80" for category in _CATEGORIES), 5_000
        ),
        Sentences(("yelp_style_weak.dev", "yelp_style_weak.test"), 8_000),
        Sentences(("imdb.train",), 4_000),
    ),
)
