"""The protocol between the scheduler and a backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from valence_service.core.document import TokenReader
    from valence_service.core.sentiment import ModelInfo, Sentiment


@dataclass(slots=True)
class TokenCount:
    """What a replica has computed so far. Its thread counts, any thread may read."""

    texts: int = 0
    """Tokens of texts."""
    padding: int = 0
    """Tokens that filled shorter texts up."""
    layers: dict[int, int] = field(default_factory=dict)
    """Texts, by how many layers were computed for them."""

    def __add__(self, other: TokenCount) -> TokenCount:
        """Return the sum of two counts."""
        layers = self.layers.copy()  # at once: its thread may add to it meanwhile
        for depth, texts in other.layers.copy().items():
            layers[depth] = layers.get(depth, 0) + texts
        return TokenCount(self.texts + other.texts, self.padding + other.padding, layers)


class Classifier(Protocol):
    """One replica of a model with a tokenizer of its own. Used by one thread at a time."""

    @property
    def info(self) -> ModelInfo:
        """The model, and how it is computed."""

    @property
    def tokens(self) -> TokenCount:
        """What it has been given to compute so far."""

    def classify(self, texts: Sequence[str], *, full_depth: bool = False) -> Sequence[Sentiment]:
        """Return one sentiment for each text, in order. May raise anything; blocks its thread.

        With ``full_depth`` no text leaves at an exit of the model.
        """


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The replicas of a model, and a way to make another one."""

    info: ModelInfo
    classifiers: Sequence[Classifier]
    """One for each replica."""
    new_classifier: Callable[[], Classifier]
    """Makes a classifier that shares nothing that a thread stuck in another one may hold.

    It replaces a replica that hangs or stays broken. It blocks and may raise anything, and runs in
    the thread that will use the classifier, while other replicas compute.
    """
    reader: TokenReader | None = None
    """Tells where tokens stand; None where the model's tokenizer does not."""
