"""Keep what a model says of texts in a file, so that each text is asked once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from pathlib import Path

# Texts to probabilities of shape [texts, labels].
Probabilities = Callable[[list[str]], np.ndarray]
ASKED = 1_024  # texts between two writes


class Answers:
    """A model's probabilities for texts.

    A line of the file is the text's digest and its probabilities. A machine that stops loses only
    the line that it was writing.
    """

    def __init__(self, path: Path) -> None:
        """Read the lines that are whole."""
        self._path = path
        self._known: dict[str, list[float]] = {}
        if path.exists():
            for line in path.read_text().splitlines(keepends=True):
                digest, *probabilities = line.split()
                if line.endswith("\n"):
                    self._known[digest] = [float(each) for each in probabilities]

    def of(self, texts: list[str], model: Callable[[], Probabilities]) -> np.ndarray:
        """Return the answers to texts, float64 [texts, labels]; model loads for new texts only."""
        missing = sorted(
            {text for text in texts if _digest(text) not in self._known},
            key=lambda text: (len(text), text),
        )
        if missing:
            self._ask(missing, model())
        return np.array([self._known[_digest(text)] for text in texts])

    def _ask(self, texts: list[str], model: Probabilities) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._path.read_bytes() if self._path.exists() else b""
        with self._path.open("r+b" if whole else "wb") as file:
            file.seek(whole.rfind(b"\n") + 1)
            file.truncate()
            for at in tqdm(range(0, len(texts), ASKED), desc=self._path.stem, mininterval=10):
                batch = texts[at : at + ASKED]
                for text, probabilities in zip(batch, model(batch), strict=True):
                    self._known[_digest(text)] = [round(float(each), 5) for each in probabilities]
                    line = [_digest(text), *(f"{each:.5f}" for each in probabilities)]
                    file.write(("\t".join(line) + "\n").encode())
                file.flush()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
