"""The metrics of several server processes, added up."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SERVING = "valence_serving"
# The processes are on this machine: the environment's proxy does not lead to them.
_OPENER = build_opener(ProxyHandler({}))
# A process that has not answered by then is left out of the scrape.
SCRAPE_SECONDS = 2.0
# What is not added up: NOT_SERVING of one process is to be seen, and facts are alike.
_LEAST = frozenset({SERVING, "process_start_time_seconds", "process_max_fds"})
# Callers wait in one process, not in one after the other.
_MOST = frozenset({"valence_forecast_wait_seconds"})
_ALIKE = ("python_info", "valence_build_info", "valence_model_info")


def several_registry(
    members: Callable[[], Sequence[tuple[int, str]]],
    *,
    processes: int,
    restarts: Callable[[], int],
) -> CollectorRegistry:
    """Return a registry whose scrape asks the processes that serve, at their own metrics ports.

    ``members`` returns the id of each such process and the address of its metrics.
    """
    registry = CollectorRegistry()
    registry.register(_Several(members, processes=processes, restarts=restarts))
    return registry


class _Several(Collector):
    def __init__(
        self,
        members: Callable[[], Sequence[tuple[int, str]]],
        *,
        processes: int,
        restarts: Callable[[], int],
    ) -> None:
        self._members = members
        self._processes = processes
        self._restarts = restarts
        self._lock = threading.Lock()
        # A sum of counts must not fall where a process ends, or does not answer in time: Prometheus
        # would take that for a restart, and count all of the rest again.
        self._counts: dict[tuple[int, str], list[Metric]] = {}
        self._ended: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        """Yield every family of the processes, added up, and the number of processes."""
        with self._lock:
            yield from self._collect()

    def _collect(self) -> Iterator[Metric]:
        members = self._members()
        with ThreadPoolExecutor(max(1, len(members))) as threads:
            scrapes = list(threads.map(_scrape, (address for _, address in members)))
        answered = {
            member: families
            for member, families in zip(members, scrapes, strict=True)
            if families is not None
        }
        for member in self._counts.keys() - set(members):
            self._ended = add_up([self._ended, self._counts.pop(member)])
        silent = [counts for member, counts in self._counts.items() if member not in answered]
        self._counts |= {member: _counts(families) for member, families in answered.items()}
        serving = float(len(answered))
        yield GaugeMetricFamily(
            "valence_processes", "Server processes that are to serve.", float(self._processes)
        )
        yield GaugeMetricFamily(
            "valence_processes_serving", "Server processes that serve.", serving
        )
        yield CounterMetricFamily(
            "valence_process_restarts",
            "Server processes that ended and were started anew.",
            self._restarts(),
        )
        families = add_up([*answered.values(), *silent, self._ended])
        if serving < self._processes:
            families = [family for family in families if family.name != SERVING]
            families.append(GaugeMetricFamily(SERVING, "Whether every process serves.", 0.0))
        yield from families


def _scrape(address: str) -> list[Metric] | None:
    """Return the families of a process, or None if it does not answer."""
    try:
        with _OPENER.open(f"http://{address}/metrics", timeout=SCRAPE_SECONDS) as response:
            return list(text_string_to_metric_families(response.read().decode()))
    except (OSError, HTTPException, ValueError):
        return None


def _counts(families: Iterable[Metric]) -> list[Metric]:
    return [family for family in families if family.type in ("counter", "histogram", "summary")]


def add_up(scrapes: Iterable[Iterable[Metric]]) -> list[Metric]:
    """Return the families of several scrapes, their samples added up."""
    found: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in itertools.chain.from_iterable(scrapes):
        if family.name not in found:
            found[family.name] = Metric(family.name, family.documentation, family.type)
        sums = values.setdefault(family.name, {})
        for sample in family.samples:
            key = sample.name, tuple(sample.labels.items())
            sums[key] = _together(sample.name, sums.get(key), sample.value)
    for name, family in found.items():
        for (series, labels), value in values[name].items():
            family.add_sample(series, dict(labels), value)
    return list(found.values())


def _together(name: str, known: float | None, value: float) -> float:
    if known is None or name in _ALIKE:
        return value
    if name in _MOST:
        return max(known, value)
    return min(known, value) if name in _LEAST else known + value
