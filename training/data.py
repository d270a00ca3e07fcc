"""Read training and development texts from files.

Every file is gzip'd TSV with the header ``label<TAB>text``; a label is ``negative``, ``neutral`` or
``positive``, or in the files of other languages a language's code. The project's own probes are TSV
of the same form.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

LABELS = ("negative", "neutral", "positive")
DEV_FILES = (
    "sst2_detok.dev",
    "sst2.dev",
    "cad_imdb.dev_original",
    "cad_imdb.dev_revised",
    "contrast_imdb.dev_contrast",
    "dynasent_r1.dev",
    "dynasent_r2.dev",
    "goemotions.dev",
    "semeval_twitter.dev",
    "sst3_detok.dev",
    "trec.questions_neutral",
    "other_languages.dev",
)
PROBES = Path(__file__).parent / "probes"
PROBE_FILES = ("facts", "opinion_questions", "emoji")

# Kept out of training, to measure whole documents and the layers that they need.
LONG_REVIEWS = "imdb.train"
LONG_WORDS = 400
LONG_COUNT = 1_500
BUSINESS_REVIEWS = "yelp10k.train80"
BUSINESS_SHARE = 10  # one in so many


def read_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the (label, text) rows of one file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as lines:
        next(lines)
        for line in lines:
            label, text = line.rstrip("\n").split("\t", 1)
            yield label, text


def dev_file(data: Path, name: str) -> Path:
    """Return the path of a development file below data."""
    return data / "dev" / f"{name}.tsv.gz"


def train_file(data: Path, name: str) -> Path:
    """Return the path of a training file below data."""
    return data / "train" / f"{name}.tsv.gz"


def labelled(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the texts of a file, and the index in LABELS of each one's label."""
    rows = list(read_rows(path))
    return [text for _, text in rows], np.array([LABELS.index(label) for label, _ in rows], int)


def letters(text: str) -> str:
    """Return the text's letters and digits in lower case, to find duplicates.

    A text of signs alone is itself, but for the selectors that emoji have or not.
    """
    return re.sub(r"[\W_]", "", text.lower()) or text.replace("\N{VARIATION SELECTOR-16}", "")


def development_letters(data: Path) -> set[str]:
    """Return the letters of every text that measures a model: none of them is trained on."""
    paths = [dev_file(data, name) for name in DEV_FILES]
    paths += [PROBES / f"{name}.tsv" for name in PROBE_FILES]
    return {letters(text) for path in paths for _, text in read_rows(path)}


def documents(data: Path, name: str) -> list[tuple[str, str]]:
    """Return the rows of a training file that are kept out of training, chosen by their hash."""
    rows = read_rows(train_file(data, name))
    if name == LONG_REVIEWS:
        long = [row for row in rows if len(row[1].split()) > LONG_WORDS]
        return sorted(long, key=lambda row: _hash(row[1]))[:LONG_COUNT]
    if name == BUSINESS_REVIEWS:
        return [row for row in rows if _hash(row[1]) % BUSINESS_SHARE == 0]
    return []


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
