"""A scrape, read by prometheus_client's own parsers."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_classic

GUARD_SECONDS = 20
OPEN = "application/openmetrics-text; version=1.0.0"


@dataclass(frozen=True)
class Scrape:
    """What the service told at one moment."""

    families: dict[str, Metric]

    @classmethod
    def read(cls, text: str) -> Scrape:
        """From Prometheus's classic format."""
        families = list(read_classic(text))
        assert len({family.name for family in families}) == len(families)
        return cls({family.name: family for family in families})

    def value(self, name: str, /, **labels: str) -> float:
        """Of one series; 0 where there is none yet."""
        found = [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, f"{name} {labels} are {len(found)} series"
        return found[0] if found else 0.0

    @property
    def names(self) -> set[str]:
        """Of all series: what an expression may ask for."""
        return {sample.name for family in self.families.values() for sample in family.samples}


def fetch(address: str, accept: str = "") -> str:
    request = urllib.request.Request(f"http://{address}/metrics", headers={"accept": accept})
    with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310  http
        return str(response.read().decode())


def scrape(address: str) -> Scrape:
    return Scrape.read(fetch(address))


def scrape_when(address: str, enough: Callable[[Scrape], bool]) -> Scrape:
    """Once it shows enough: a call that fails is counted after its caller has been told."""
    ends = time.monotonic() + GUARD_SECONDS
    while not enough(told := scrape(address)):
        assert time.monotonic() < ends, told
    return told


def scrape_open(address: str) -> Scrape:
    """By OpenMetrics, whose parser is strict."""
    families = read_open(fetch(address, OPEN))  # type: ignore[no-untyped-call]  # left untyped
    return Scrape({family.name: family for family in families})
