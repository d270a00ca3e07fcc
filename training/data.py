"""Read training and development texts from files.

Every file is gzip'd TSV with the header ``label<TAB>text``; a label is ``negative``, ``neutral`` or
``positive``.
"""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEV_FILES = (
    "sst2_detok.dev",
    "sst2.dev",
    "cad_imdb.dev_original",
    "cad_imdb.dev_revised",
    "contrast_imdb.dev_contrast",
    "dynasent_r1.dev",
    "dynasent_r2.dev",
    "goemotions.dev",
)


def read_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the (label, text) rows of one file."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        next(lines)
        for line in lines:
            label, text = line.rstrip("\n").split("\t", 1)
            yield label, text


def dev_rows(data: Path, name: str) -> tuple[list[str], np.ndarray]:
    """Return the texts of a development file without neutral rows, and 1 for positive ones."""
    rows = [row for row in read_rows(data / "dev" / f"{name}.tsv.gz") if row[0] != "neutral"]
    return [text for _, text in rows], np.array([label == "positive" for label, _ in rows], int)


def letters(text: str) -> str:
    """Return the text without case, spacing and punctuation, to find duplicates."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
