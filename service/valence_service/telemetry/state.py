"""The metrics that a scrape reads: they cost nothing until then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from valence_service.core.sentiment import ModelInfo
    from valence_service.scheduler.batcher import Batcher


class State(Collector):
    """Health and streams at any time, the queue and the replicas once there is a model.

    Read by the scrape's thread while the event loop works: each number is whole, and two of them
    may be a moment apart.
    """

    def __init__(self, serving: Callable[[], bool], open_streams: Callable[[], int]) -> None:
        self._serving = serving
        self._open_streams = open_streams
        self._model: tuple[Batcher, ModelInfo] | None = None

    def open(self, batcher: Batcher, info: ModelInfo) -> None:
        """Add the metrics of a model."""
        self._model = batcher, info

    def collect(self) -> Iterator[Metric]:
        """Yield every family, with its value now."""
        yield _gauge("serving", "Whether health says SERVING (1) or not (0).", self._serving())
        yield _gauge("streams_open", "StreamClassify calls under way.", self._open_streams())
        if self._model:
            yield from _model_metrics(*self._model)


def _model_metrics(batcher: Batcher, info: ModelInfo) -> Iterator[Metric]:
    yield _gauge("queue_texts", "Texts that wait to be computed.", batcher.queued_texts)
    yield _gauge("queue_max_texts", "The most texts that may wait.", batcher.max_queue_texts)
    yield _gauge(
        "queue_tokens", "Tokens that wait to be computed, by estimate.", batcher.queued_tokens
    )
    yield _gauge(
        "forecast_wait_seconds",
        "How long the last text in the queue will wait, by estimate.",
        batcher.forecast_wait_seconds,
    )
    yield _gauge("replicas", "Replicas of the model.", batcher.replicas)
    yield _gauge(
        "replicas_broken",
        "Replicas that are set aside: they hang, or do not answer the canary.",
        batcher.broken_replicas,
    )
    yield _gauge(
        "threads_abandoned",
        "Threads that are stuck in a replica that has been replaced.",
        batcher.abandoned_threads,
    )
    texts = CounterMetricFamily(
        "valence_texts", "Texts that were queued, by what became of them.", labels=["outcome"]
    )
    for outcome in ("answered", "failed", "dropped", "wasted"):
        texts.add_metric([outcome], getattr(batcher.counters, outcome))
    yield texts
    computed = batcher.tokens
    yield CounterMetricFamily(
        "valence_tokens", "Tokens of texts that the model was given.", computed.texts
    )
    yield CounterMetricFamily(
        "valence_padding_tokens",
        "Tokens that filled micro-batches of the model up.",
        computed.padding,
    )
    by_layers = CounterMetricFamily(
        "valence_texts_by_layers",
        "Texts that were computed, by how many of the model's layers it took.",
        labels=["layers"],
    )
    for layers, count in sorted(computed.layers.items()):
        by_layers.add_metric([str(layers)], count)
    yield by_layers
    facts = {
        "name": info.name,
        "revision": info.revision,
        "engine": info.engine,
        "precision": info.precision,
        "device": info.device,
    }
    yield InfoMetricFamily("valence_model", "The model that answers.", facts)


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(f"valence_{name}", help_, float(value))
