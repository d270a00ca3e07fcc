"""Which model answers calls, or why none does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from valence_service.core.errors import InvalidField, Starting
from valence_service.serving.arrivals import Arrivals

if TYPE_CHECKING:
    from valence_service.core.errors import Unavailable
    from valence_service.core.sentiment import ModelInfo
    from valence_service.scheduler.batcher import Batcher
    from valence_service.serving.division import Divider


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model and the batcher that computes it."""

    info: ModelInfo
    batcher: Batcher
    divider: Divider | None = None
    """Divides long texts; None where the model's tokenizer does not tell where tokens stand."""
    arrivals: Arrivals = field(default_factory=Arrivals)
    """Texts that were accepted and are not yet in the batcher's queue."""

    @property
    def idle(self) -> bool:
        """Whether every accepted text has its answer."""
        return self.batcher.idle and not self.arrivals

    def close(self) -> None:
        """Divide no more texts. The batcher closes by itself, within a time."""
        if self.divider is not None:
            self.divider.close()

    def divide(self, field: str) -> Divider:
        """Return what divides texts. Raise InvalidField, naming the field, where nothing can."""
        if self.divider is None:
            raise InvalidField(
                field,
                f"{self.info.name} cannot read texts in parts: its tokenizer does not tell where "
                "tokens stand; ask for OVERLENGTH_TRUNCATE",
            )
        return self.divider


class Registry:
    """Holds the model once it is loaded. Belongs to one event loop."""

    def __init__(self) -> None:
        self._model: ServedModel | None = None
        self._refusal: Unavailable | None = None
        self.refused_calls = 0
        """Calls that met a refusal so far."""

    def add(self, model: ServedModel) -> None:
        """Let the model answer from now on."""
        self._model = model

    def refuse(self, reason: Unavailable) -> None:
        """Refuse every call from now on."""
        self._refusal = reason

    def resume(self) -> None:
        """Take calls again."""
        self._refusal = None

    @property
    def utilization(self) -> float:
        """How loaded the model is; 0 where there is none."""
        return self._model.batcher.utilization if self._model else 0.0

    def ready(self) -> ServedModel:
        """Return the model that answers. Raise Unavailable where none does."""
        if self._refusal is not None:
            self.refused_calls += 1
            # All calls share one exception: without this it would keep the frames of each.
            raise self._refusal.with_traceback(None)
        if self._model is None:
            raise Starting("the model is still being loaded: try again shortly")
        return self._model
