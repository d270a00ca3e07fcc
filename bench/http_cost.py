"""Measure what the HTTP port costs calls of gRPC: ``python -m bench.http_cost``.

A server with HTTP and two without take turns, each round in another order; the difference between
the two is noise. Their callers ask for GetModel, so that no inference hides the cost. The figure is
the server's processor time for a call, as the median of the rounds.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from contextlib import ExitStack
from pathlib import Path

import valence_model

from bench import load
from bench.subjects import Running, running, subjects
from bench.telemetry import cpu_seconds

CALLERS = 64
WITHOUT, AGAIN, WITH = "without HTTP", "without, again", "with HTTP"


def main() -> None:
    """Measure, and print the medians and their ratios to the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3, help="of each turn")
    arguments = parser.parse_args()
    plain = subjects(Path(valence_model.path()))[0]
    get_model = dataclasses.replace(plain, path=plain.path.replace("Classify", "GetModel"))
    by_http = dataclasses.replace(get_model, command=(*plain.command, "--http-port", "0"))
    with ExitStack() as stack:
        servers = {
            WITHOUT: stack.enter_context(running(get_model)),
            AGAIN: stack.enter_context(running(get_model)),
            WITH: stack.enter_context(running(by_http)),
        }
        costs: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(arguments.rounds + 1):
            turn = number % len(servers)
            for name in (*list(servers)[turn:], *list(servers)[:turn]):
                cost = call_cost(servers[name], arguments.seconds)
                if number:  # the first round warms up
                    costs[name].append(cost)
    base = statistics.median(costs[WITHOUT])
    for name, values in costs.items():
        cost = statistics.median(values)
        print(f"{name:16}{1e6 * cost:8.1f} us of processor time a call, {cost / base:.3f}")


def call_cost(server: Running, seconds: float) -> float:
    """Return the processor time that the server takes for a call."""
    before = cpu_seconds(server)
    got = load.unary(server, [""], callers=CALLERS, seconds=seconds)
    return (cpu_seconds(server) - before) / got.statuses.total()


if __name__ == "__main__":
    main()
