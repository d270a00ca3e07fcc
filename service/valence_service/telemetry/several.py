"""The metrics of several server processes, added up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.request import urlopen

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# A process that has not answered by then is left out of the scrape.
SCRAPE_SECONDS = 2.0
# What is not added up: NOT_SERVING of one process is to be seen, and facts are alike.
_LEAST = frozenset({"valence_serving", "process_start_time_seconds", "process_max_fds"})
# Callers wait in one process, not in one after the other.
_MOST = frozenset({"valence_forecast_wait_seconds"})
_ALIKE = ("python_info", "valence_build_info", "valence_model_info")


def several_registry(
    addresses: Callable[[], Sequence[str]], *, processes: int, restarts: Callable[[], int]
) -> CollectorRegistry:
    """Return a registry whose scrape asks the processes that serve, at their own metrics ports."""
    registry = CollectorRegistry()
    registry.register(_Several(addresses, processes=processes, restarts=restarts))
    return registry


class _Several(Collector):
    def __init__(
        self, addresses: Callable[[], Sequence[str]], *, processes: int, restarts: Callable[[], int]
    ) -> None:
        self._addresses = addresses
        self._processes = processes
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        """Yield every family of the processes, added up, and the number of processes."""
        addresses = self._addresses()
        yield GaugeMetricFamily(
            "valence_processes", "Server processes that are to serve.", float(self._processes)
        )
        yield GaugeMetricFamily(
            "valence_processes_serving", "Server processes that serve.", float(len(addresses))
        )
        yield CounterMetricFamily(
            "valence_process_restarts",
            "Server processes that ended and were started anew.",
            self._restarts(),
        )
        with ThreadPoolExecutor(max(1, len(addresses))) as threads:
            texts = threads.map(_scrape, addresses)
        yield from add_up(text for text in texts if text)


def _scrape(address: str) -> str:
    try:
        with urlopen(f"http://{address}/metrics", timeout=SCRAPE_SECONDS) as response:
            return str(response.read().decode())
    except OSError:
        return ""


def add_up(texts: Iterable[str]) -> list[Metric]:
    """Return the families of several scrapes, their samples added up."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            families.setdefault(family.name, family)
            sums = values.setdefault(family.name, {})
            for sample in family.samples:
                key = sample.name, tuple(sample.labels.items())
                sums[key] = _together(sample.name, sums.get(key), sample.value)
    for name, family in families.items():
        family.samples = []
        for (series, labels), value in values[name].items():
            family.add_sample(series, dict(labels), value)
    return list(families.values())


def _together(name: str, known: float | None, value: float) -> float:
    if known is None or name in _ALIKE:
        return value
    if name in _MOST:
        return max(known, value)
    return min(known, value) if name in _LEAST else known + value
