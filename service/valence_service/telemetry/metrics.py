"""The metrics that are counted as things happen, on the event loop: a few microseconds a call."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from valence_service.telemetry.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from valence_service.engine.batcher import Batcher
    from valence_service.sentiment import ModelInfo

# From half a millisecond, which is a refusal, to ten seconds, which is the client's deadline.
SECONDS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SHARES = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)


class Metrics:
    """A registry, and the counters and histograms in it that are told of calls and batches.

    Label sets are resolved once: at a call there is nothing left but to add. ``methods`` and
    ``refusals`` are those that are known, so that each has a series from the start.
    """

    def __init__(
        self,
        *,
        methods: Sequence[str],
        refusals: Sequence[str],
        max_batch_texts: int,
        serving: Callable[[], bool],
        open_streams: Callable[[], int],
    ) -> None:
        # When a counter was made is in process_start_time_seconds, once and not for each series.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one that they left untyped
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._state = State(serving, open_streams)
        self.registry.register(self._state)
        self._build_info()
        self._requests = Counter(
            "valence_requests",
            "Calls of the contract that have ended, by method and status code.",
            ["method", "code"],
            registry=self.registry,
        )
        seconds = Histogram(
            "valence_request_duration_seconds",
            "Time from a call's arrival at its handler to its end; a stream's is all of it.",
            ["method"],
            buckets=SECONDS,
            registry=self.registry,
        )
        refused = Counter(
            "valence_refusals",
            "Calls, and texts of batches and streams, that were refused, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self._ended = {(method, "OK"): self._requests.labels(method, "OK") for method in methods}
        self._seconds = {method: seconds.labels(method) for method in methods}
        self._seconds_of = seconds.labels
        self._refused = {reason: refused.labels(reason) for reason in refusals}
        self._waits = Histogram(
            "valence_queue_wait_seconds",
            "Time that a text waited in the queue, of texts that were computed.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._texts = Histogram(
            "valence_batch_texts",
            "Texts computed together.",
            buckets=[bound for bound in TEXTS if bound < max_batch_texts] + [max_batch_texts],
            registry=self.registry,
        )
        self._fill = Histogram(
            "valence_batch_fill_ratio",
            "Texts computed together, as a share of the most that may be.",
            buckets=SHARES,
            registry=self.registry,
        )
        self._inference = Histogram(
            "valence_inference_duration_seconds",
            "Time that a batch was computed for, tokenizing included.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._max_batch_texts = max_batch_texts

    def open(self, batcher: Batcher, info: ModelInfo) -> None:
        """There is a model now: tell of its work, too."""
        self._state.open(batcher, info)

    def _build_info(self) -> None:
        Info("valence_build", "What runs.", registry=self.registry).info(
            {
                "version": version("valence-service"),
                "python": platform.python_version(),
                "grpcio": version("grpcio"),
            }
        )

    def ended(self, method: str, code: str, seconds: float) -> None:
        """A call has ended with a status code."""
        ended = self._ended.get((method, code))
        if ended is None:
            ended = self._ended[method, code] = self._requests.labels(method, code)
        ended.inc()
        of_method = self._seconds.get(method)
        if of_method is None:
            of_method = self._seconds[method] = self._seconds_of(method)
        of_method.observe(seconds)

    def refused(self, reason: str) -> None:
        """A call, or a text of a batch or a stream, was refused for one of the known reasons."""
        self._refused[reason].inc()

    def computed(self, waits: Sequence[float], seconds: float) -> None:
        """A batch was computed in so many seconds, after its texts had waited so long each."""
        for wait in waits:
            self._waits.observe(wait)
        self._texts.observe(len(waits))
        self._fill.observe(len(waits) / self._max_batch_texts)
        self._inference.observe(seconds)
