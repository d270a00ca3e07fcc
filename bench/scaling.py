"""Simulate balancing, compare it with three real servers, and plot it: ``make scaling``.

The real servers stand behind Envoy, as deploy/envoy/balance.yaml sets it up, and their model takes
its time by sleeping. So what is compared is the balancing, not this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import yaml
from prometheus_client.parser import text_string_to_metric_families
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from bench.balancing import POLICIES, Outcome, Replica, simulate
from bench.plots import OUR_COLOUR, THEIR_COLOUR, plot, save
from bench.subjects import ROOT, Running, Subject, free_port, running

RESULTS = ROOT / "build/scaling.json"
# Eight replicas, and four on processors of half the speed.
SPEEDS = (1.0,) * 8 + (0.5,) * 4
LOADS = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
SIMULATED_SECONDS = 8.0
COLOURS = {"round robin": THEIR_COLOUR, "weighted": OUR_COLOUR, "two choices": "#0369a1"}
# The comparison: a text takes 0.1 s, alone or not, and on one of three servers four times as long.
# That is long beside what a busy machine adds to a call.
CHECKED_TEXT_SECONDS = 0.1
CHECKED_SPEEDS = (1.0, 1.0, 0.25)
CHECKED_LOADS = (0.5, 0.9)
CHECKED_SECONDS, WARM_SECONDS = 20.0, 8.0
CHECKED_DEADLINE_SECONDS = 4.0
SLEEPING = f"""
import sys, time
from valence_service.__main__ import main
from valence_service.backends.openvino import OpenVinoClassifier
classify = OpenVinoClassifier.classify
seconds = {CHECKED_TEXT_SECONDS} / float(sys.argv.pop())
def slowly(self, texts, **options):
    began = time.perf_counter()
    answers = classify(self, texts, **options)
    time.sleep(max(0.0, seconds * len(texts) - (time.perf_counter() - began)))
    return answers
OpenVinoClassifier.classify = slowly
main()
"""
ENVOY_POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "round robin": ("round_robin.v3.RoundRobin", {}),
    "two choices": ("least_request.v3.LeastRequest", {}),
}


def checked_cost(texts: int) -> float:
    """Return the time that a real server of the comparison takes for a batch."""
    return texts * CHECKED_TEXT_SECONDS


def capacity(replicas: Sequence[Replica], texts: int) -> float:
    """Return the texts a second of all replicas, in batches of so many."""
    return sum(one.speed * one.workers * texts / one.cost(texts) for one in replicas)


def simulated() -> dict[str, Any]:
    """Return the outcome of each policy at each load."""
    whole = capacity([Replica(speed) for speed in SPEEDS], 64)
    found: dict[str, Any] = {"capacity": whole, "policies": {}}
    for policy in POLICIES:
        rows = []
        for load in LOADS:
            replicas = [Replica(speed) for speed in SPEEDS]
            rows.append(_row(simulate(policy, replicas, load * whole, seconds=SIMULATED_SECONDS)))
        found["policies"][policy] = rows
    return found


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "p50": outcome.percentile_ms(50),
        "p99": outcome.percentile_ms(99),
        "refused": outcome.refused_share,
        "slowest": outcome.shares[-1],
    }


def compared() -> list[dict[str, Any]]:
    """Return rows of the simulation and of three real servers, side by side."""
    rows = []
    with ExitStack() as stack:
        ports = [free_port() for _ in CHECKED_SPEEDS]
        servers = [
            stack.enter_context(running(_subject(speed, port)))
            for speed, port in zip(CHECKED_SPEEDS, ports, strict=True)
        ]
        for policy in POLICIES:
            with _envoy(policy, servers) as address:
                for load in CHECKED_LOADS:
                    replicas = [Replica(speed, 1, checked_cost) for speed in CHECKED_SPEEDS]
                    rate = load * capacity(replicas, 1)
                    told = simulate(
                        policy,
                        replicas,
                        rate,
                        seconds=300.0,
                        deadline_seconds=CHECKED_DEADLINE_SECONDS,
                    )
                    real = asyncio.run(_called(address, ports, rate))
                    row = {"policy": policy, "load": load, "rate": rate}
                    rows.append({**row, "simulated": _row(told), "real": _row(real)})
                    print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


def _subject(speed: float, metrics_port: int) -> Subject:
    own = ("--port", "{port}", "--metrics-port", str(metrics_port))
    flags = (*own, "--workers", "1", "--cores", "1")
    return Subject(
        f"Valence at {speed:g}",
        (sys.executable, "-c", SLEEPING, *flags, str(speed)),
        "/valence.v1.SentimentService/Classify",
        protocol="grpc",
    )


@contextmanager
def _envoy(policy: str, servers: Sequence[Running]) -> Iterator[str]:
    """Yield the address of an Envoy that balances so."""
    port = free_port()
    read = yaml.safe_load((ROOT / "deploy/envoy/balance.yaml").read_text())
    (listener,) = read["static_resources"]["listeners"]
    (cluster,) = read["static_resources"]["clusters"]
    listener["address"]["socket_address"]["port_value"] = port
    (endpoints,) = cluster["load_assignment"]["endpoints"]
    endpoints["lb_endpoints"] = [
        {
            "endpoint": {
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": one.port}}
            }
        }
        for one in servers
    ]
    if policy in ENVOY_POLICIES:
        name, options = ENVOY_POLICIES[policy]
        kind = f"type.googleapis.com/envoy.extensions.load_balancing_policies.{name}"
        extension = {"name": policy, "typed_config": {"@type": kind, **options}}
        cluster["load_balancing_policy"] = {"policies": [{"typed_extension_config": extension}]}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "envoy.yaml"
        file.write_text(yaml.safe_dump(read))
        binary = str(Path(sys.executable).parent / "envoy")
        quiet = ("-c", str(file), "--disable-hot-restart", "--concurrency", "1", "-l", "off")
        path = "/valence.v1.SentimentService/Classify"
        with running(Subject("Envoy", (binary, *quiet), path, protocol="grpc"), port=port):
            yield f"127.0.0.1:{port}"


def _answered(metrics_port: int) -> float:
    """Return how many calls a server has answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as response:
        families = text_string_to_metric_families(response.read().decode())
    wanted = {"method": "Classify", "code": "OK"}
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "valence_requests_total" and sample.labels == wanted
    )


async def _called(address: str, metrics_ports: Sequence[int], rate: float) -> Outcome:
    """Return the outcome of calls that come at random at a rate."""
    draw = random.Random(1)
    waits: list[float] = []
    codes: Counter[str] = Counter()
    began = time.perf_counter()

    async def call(stub: Any) -> None:
        sent = time.perf_counter()
        try:
            await stub.Classify(
                pb.ClassifyRequest(text="I loved it"), timeout=CHECKED_DEADLINE_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            codes[error.code().name] += sent - began > WARM_SECONDS
            return
        if sent - began > WARM_SECONDS:
            waits.append(time.perf_counter() - sent)

    async with grpc.aio.insecure_channel(address) as channel:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        before: list[float] = []
        async with asyncio.TaskGroup() as calls:
            due = began
            while due < began + WARM_SECONDS + CHECKED_SECONDS:
                due += draw.expovariate(rate)
                await asyncio.sleep(due - time.perf_counter())
                if not before and due > began + WARM_SECONDS:
                    before = [_answered(port) for port in metrics_ports]
                calls.create_task(call(stub))
    counts = [_answered(port) - was for port, was in zip(metrics_ports, before, strict=True)]
    return Outcome(sorted(waits), sum(codes.values()), [n / sum(counts) for n in counts])


def main() -> None:
    """Measure, keep the numbers in build/scaling.json, and draw the plots of docs/scaling.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="ask three real servers too (3 minutes)"
    )
    arguments = parser.parse_args()
    found: dict[str, Any] = {"simulated": simulated()}
    if arguments.check:
        found["compared"] = compared()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1))
    _plot(found["simulated"], ROOT / "docs/scaling")


def _plot(found: dict[str, Any], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for key, factor, label in (
        ("p50", 1, "ms, p50"),
        ("p99", 1, "ms, p99"),
        ("refused", 100, "refused, % of calls"),
    ):
        figure, axes = plot()
        for policy, rows in found["policies"].items():
            values = [factor * row[key] for row in rows]
            axes.plot(LOADS, values, marker="o", markersize=4, label=policy, color=COLOURS[policy])
        axes.set(xlabel="offered load, of what all replicas can answer", ylabel=label)
        if key != "refused":
            axes.set_yscale("log")
        figure.legend(loc="outside right upper", frameon=False)
        save(figure, folder / f"{key}.svg")


if __name__ == "__main__":
    main()
