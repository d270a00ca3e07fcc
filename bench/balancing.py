"""Simulate calls to replicas of unlike speed, balanced by one proxy.

A discrete-event simulation of the service's own rules: greedy batches, refusal by deadline, load
reports ten times a second. ``bench.scaling`` compares it with real servers, and plots it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

# docs/performance.md: ms of a core for a text of 24 tokens, by the texts computed together.
TEXTS = (1, 2, 4, 8, 16, 32)
CORE_MS = (2.88, 2.19, 1.83, 1.68, 1.61, 1.53)
MAX_BATCH_TEXTS = 64
# scheduler/admission.py and transports/grpc/load_reports.py.
SAFETY_FACTOR, TARGET_WAIT_SECONDS = 1.5, 0.1
REPORT_SECONDS, NEWEST = 0.1, 0.1
# gRPC's and Envoy's weighted round robin read the reports this often.
WEIGHT_SECONDS = 1.0
DEADLINE_SECONDS = 1.0


def batch_seconds(texts: int) -> float:
    """Return the time of a core for a batch of short texts."""
    return texts * CORE_MS[bisect_right(TEXTS, texts) - 1] / 1e3


@dataclass
class Replica:
    """A server: workers that take greedy batches from one queue."""

    speed: float = 1.0
    workers: int = 2
    cost: Callable[[int], float] = batch_seconds
    queue: deque[float] = field(default_factory=deque)
    """When each waiting call came."""
    running: int = 0
    """Calls in the batches that are being computed."""
    busy: int = 0
    outstanding: int = 0
    calls: int = 0
    utilization: float = 0.0
    requests_per_second: float = 0.0
    since_report: int = 0

    @property
    def text_seconds(self) -> float:
        """How long all workers together take for a text of a full batch."""
        return self.cost(MAX_BATCH_TEXTS) / MAX_BATCH_TEXTS / (self.speed * self.workers)

    @property
    def answers_in_seconds(self) -> float:
        """When a call that comes now would be answered, with the service's margin."""
        if self.busy < self.workers:
            return 0.0
        return (self.running + len(self.queue) + 1) * self.text_seconds * SAFETY_FACTOR

    def report(self) -> None:
        """Make the next load report."""
        wait_seconds = len(self.queue) * self.text_seconds
        now = self.busy / self.workers + wait_seconds / TARGET_WAIT_SECONDS
        self.utilization += NEWEST * (now - self.utilization)
        newest = self.since_report / REPORT_SECONDS
        self.requests_per_second += NEWEST * (newest - self.requests_per_second)
        self.since_report = 0


class RoundRobin:
    """Each replica in turn."""

    def __init__(self, replicas: Sequence[Replica], _: random.Random) -> None:
        """Begin with the first."""
        self._turns = itertools.cycle(replicas)

    def pick(self) -> Replica:
        """Return the replica of the next call."""
        return next(self._turns)

    def update(self) -> None:
        """Take no notice of load."""


class Weighted:
    """In turn, each as often as its last reports say that it has room: calls by utilization."""

    def __init__(self, replicas: Sequence[Replica], _: random.Random) -> None:
        """Begin with equal weights."""
        self._replicas = replicas
        self._weights = [1.0] * len(replicas)
        self._due = [(0.0, index) for index in range(len(replicas))]

    def pick(self) -> Replica:
        """Return the replica whose turn is due first."""
        due, index = heapq.heappop(self._due)
        heapq.heappush(self._due, (due + 1 / self._weights[index], index))
        return self._replicas[index]

    def update(self) -> None:
        """Weigh the replicas anew; one without a report counts as the mean."""
        weights = [
            one.requests_per_second / one.utilization if one.utilization else 0.0
            for one in self._replicas
        ]
        known = [weight for weight in weights if weight > 0]
        mean = sum(known) / len(known) if known else 1.0
        self._weights = [(weight or mean) / mean for weight in weights]


class TwoChoices:
    """The one of two, drawn at random, that has fewer calls under way."""

    def __init__(self, replicas: Sequence[Replica], draw: random.Random) -> None:
        """Draw from all replicas."""
        self._replicas = replicas
        self._draw = draw

    def pick(self) -> Replica:
        """Return the replica of the next call."""
        return min(self._draw.sample(self._replicas, 2), key=lambda one: one.outstanding)

    def update(self) -> None:
        """Count calls instead of reading reports."""


POLICIES: dict[str, type[RoundRobin | Weighted | TwoChoices]] = {
    "round robin": RoundRobin,
    "weighted": Weighted,
    "two choices": TwoChoices,
}


@dataclass(frozen=True)
class Outcome:
    """The outcomes of the calls after the warm-up."""

    seconds: list[float]
    """How long each call waited that was answered in time, sorted."""
    refused: int
    """Calls that were refused, or not answered before their deadline."""
    shares: list[float]
    """The calls that each replica answered, of all that were answered."""

    def percentile_ms(self, percent: int) -> float:
        """Return the wait that so many per cent of the answered calls stay below."""
        last = len(self.seconds) - 1
        return 1e3 * self.seconds[min(last, len(self.seconds) * percent // 100)]

    @property
    def refused_share(self) -> float:
        """Refused calls, of all."""
        return self.refused / (self.refused + len(self.seconds))


def simulate(
    policy: str,
    replicas: Sequence[Replica],
    calls_per_second: float,
    *,
    seconds: float,
    warm_seconds: float = 6.0,
    deadline_seconds: float = DEADLINE_SECONDS,
    seed: int = 1,
) -> Outcome:
    """Return the outcome of calls that come at random at a rate, each of one short text."""
    draw = random.Random(seed)
    balancer = POLICIES[policy](replicas, draw)
    run = _Run(deadline_seconds)
    reports, weights = itertools.count(1), itertools.count(1)
    next_report, next_weights = REPORT_SECONDS * next(reports), WEIGHT_SECONDS * next(weights)
    now, counting = 0.0, False
    while now < warm_seconds + seconds:
        now += draw.expovariate(calls_per_second)
        while next_report <= now:
            run.until(next_report)
            for one in replicas:
                one.report()
            next_report = REPORT_SECONDS * next(reports)
        if next_weights <= now:
            balancer.update()
            next_weights = WEIGHT_SECONDS * next(weights)
        run.until(now)
        if not counting and now >= warm_seconds:
            counting = True
            run.forget(replicas)
        run.call(balancer.pick(), now)
    answered = sum(one.calls for one in replicas) or 1
    return Outcome(sorted(run.waits), run.refused, [one.calls / answered for one in replicas])


class _Run:
    """The events between the calls: batches that end, and those that begin then."""

    def __init__(self, deadline_seconds: float) -> None:
        self.waits: list[float] = []
        self.refused = 0
        self._deadline_seconds = deadline_seconds
        self._order = itertools.count()
        self._ends: list[tuple[float, int, Replica, list[float]]] = []

    def forget(self, replicas: Sequence[Replica]) -> None:
        """Begin to count."""
        self.waits, self.refused = [], 0
        for one in replicas:
            one.calls = 0

    def call(self, one: Replica, now: float) -> None:
        """Let a call come to a replica."""
        one.since_report += 1
        if one.answers_in_seconds > self._deadline_seconds:
            self.refused += 1
            return
        one.queue.append(now)
        one.outstanding += 1
        self._work(one, now)

    def until(self, now: float) -> None:
        """End the batches that are due."""
        while self._ends and self._ends[0][0] <= now:
            at, _, one, batch = heapq.heappop(self._ends)
            one.busy -= 1
            one.running -= len(batch)
            one.outstanding -= len(batch)
            in_time = [at - came for came in batch if at - came <= self._deadline_seconds]
            self.waits += in_time
            one.calls += len(in_time)
            self.refused += len(batch) - len(in_time)
            self._work(one, at)

    def _work(self, one: Replica, now: float) -> None:
        while one.queue and one.busy < one.workers:
            batch: list[float] = []
            while one.queue and len(batch) < MAX_BATCH_TEXTS:
                came = one.queue.popleft()
                if now - came > self._deadline_seconds:  # its caller has left
                    self.refused += 1
                    one.outstanding -= 1
                else:
                    batch.append(came)
            if batch:
                one.busy += 1
                one.running += len(batch)
                ends = now + one.cost(len(batch)) / one.speed
                heapq.heappush(self._ends, (ends, next(self._order), one, batch))
