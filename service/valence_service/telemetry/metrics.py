"""The metrics of the service: counts calls and batches, and reads the rest at a scrape."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from valence_service.telemetry.counts import Calls, Distribution
from valence_service.telemetry.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client import Metric

    from valence_service.core.sentiment import ModelInfo
    from valence_service.scheduler.batcher import Batcher

# From half a millisecond, which is a refusal, to ten seconds, which is the client's deadline.
SECONDS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SHARES = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)


class Metrics(Collector):
    """Counts calls and batches on the event loop; any thread may scrape it.

    ``methods`` are those of the contract, ``refusals`` the reasons that there are: each has a
    series from the start, and there are no others but for calls that are no method's.
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
        self._calls = {method: Calls(SECONDS) for method in methods}
        self._refusals = dict.fromkeys(refusals, 0)
        self._waits = Distribution(SECONDS)
        self._texts = Distribution([n for n in TEXTS if n < max_batch_texts] + [max_batch_texts])
        self._fill = Distribution(SHARES)
        self._inference = Distribution(SECONDS)
        self._max_batch_texts = max_batch_texts
        self._state = State(serving, open_streams)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Info("valence_build", "What runs.", registry=self.registry).info(
            {
                "version": version("valence-service"),
                "python": platform.python_version(),
                "grpcio": version("grpcio"),
            }
        )
        self.registry.register(self._state)
        self.registry.register(self)

    def open(self, batcher: Batcher, info: ModelInfo) -> None:
        """Add the metrics of a model."""
        self._state.open(batcher, info)

    def ended(self, method: str, code: str, seconds: float) -> None:
        """Count a call that has ended with a status code."""
        calls = self._calls.get(method)
        if calls is None:
            calls = self._calls[method] = Calls(SECONDS)
        calls.codes[code] = calls.codes.get(code, 0) + 1
        calls.seconds.add(seconds)

    def refused(self, reason: str) -> None:
        """Count a refused call, or a refused text of a batch or a stream."""
        self._refusals[reason] += 1

    def computed(self, waits: Sequence[float], seconds: float) -> None:
        """Count a batch: how long each of its texts waited, and how long it took to compute."""
        self._waits.add_all(waits)
        self._texts.add(len(waits))
        self._fill.add(len(waits) / self._max_batch_texts)
        self._inference.add(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield every family that is counted here."""
        requests = CounterMetricFamily(
            "valence_requests",
            "Calls of the contract that have ended, by method and status code.",
            labels=["method", "code"],
        )
        durations = HistogramMetricFamily(
            "valence_request_duration_seconds",
            "Time from a call's arrival at its handler to its end; a stream's is all of it.",
            labels=["method"],
        )
        for method, calls in self._calls.copy().items():
            for code, count in calls.codes.copy().items():
                requests.add_metric([method, code], count)
            durations.add_metric([method], *calls.seconds.read())
        yield requests
        yield durations
        refusals = CounterMetricFamily(
            "valence_refusals",
            "Calls, and texts of batches and streams, that were refused, by reason.",
            labels=["reason"],
        )
        for reason, count in self._refusals.items():
            refusals.add_metric([reason], count)
        yield refusals
        for name, help_, distribution in (
            ("queue_wait_seconds", "Time that texts waited, of those computed.", self._waits),
            ("batch_texts", "Texts computed together.", self._texts),
            ("batch_fill_ratio", "The same as a share of the most that may be.", self._fill),
            ("inference_duration_seconds", "Time that a batch was computed for.", self._inference),
        ):
            buckets, total = distribution.read()
            yield HistogramMetricFamily(f"valence_{name}", help_, buckets, total)
