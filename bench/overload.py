"""Measure more calls than a server can answer, into docs/overload.md: ``make overload``.

Calls come at a rate, each with a deadline of a second, at fractions and multiples of the server's
own peak.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import uvloop
import valence_model
from tokenizers import Tokenizer
from tqdm import tqdm

from bench import machine, overload_page, texts
from bench.calls import REFUSED, Call
from bench.load import closed_loop
from bench.openloop import Caller, at_rate
from bench.plots import OURS
from bench.subjects import BARE, ROOT, Running, running, subjects

DEADLINE_SECONDS = 1.0
FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
COMPARED = (OURS, "tutorial", "LitServe, OpenVINO inside")
PEAK_CALLERS, WARM_CALLERS, WARM_SECONDS = 256, 64, 4
REFUSAL_ROUNDS = 5
# Alone, before and after the long overload.
LONE_CALLS_PER_SECOND, LONE_SECONDS = 20, 5
RESULTS = ROOT / "build/overload.json"


async def measure(
    server: Running, sent: Sequence[str], *, seconds: float, bar: tqdm[Any]
) -> dict[str, Any]:
    """Return a server's peak, and the outcomes at each load."""
    await closed_loop(server, sent, callers=WARM_CALLERS, seconds=WARM_SECONDS)
    peak = (await closed_loop(server, sent, callers=PEAK_CALLERS, seconds=seconds)).texts_per_second
    bar.update()
    loads = {}
    for factor in FACTORS:
        calls = await offered(server, sent, factor * peak, seconds)
        loads[str(factor)] = summary(calls, seconds)
        bar.update()
    return {"peak": peak, "loads": loads}


async def offered(
    server: Running, sent: Sequence[str], calls_per_second: float, seconds: float
) -> list[Call]:
    """Return calls that came at a rate."""
    caller = Caller(server, sent, deadline_seconds=DEADLINE_SECONDS)
    calls = await at_rate(caller, calls_per_second, seconds=seconds)
    caller.close()
    return calls


def summary(calls: Sequence[Call], seconds: float) -> dict[str, float]:
    """Return the calls a second by outcome, and what refusals were like."""
    outcomes = Counter(call.outcome for call in calls)
    refusals = [call for call in calls if call.outcome == REFUSED]
    return {
        "offered": len(calls) / seconds,
        **{outcome: count / seconds for outcome, count in outcomes.items()},
        "refused ms p50": 1e3 * statistics.median([call.seconds for call in refusals] or [0]),
        "told when to retry": sum(call.has_pushback for call in refusals) / max(1, len(refusals)),
    }


async def long_overload(
    server: Running, sent: Sequence[str], peak: float, seconds: float
) -> dict[str, Any]:
    """Return a summary of three times the peak, between lone calls, with a row for each second."""
    before = await offered(server, sent, LONE_CALLS_PER_SECOND, LONE_SECONDS)
    calls = await offered(server, sent, 3 * peak, seconds)
    ended = max(call.sent_at for call in calls)
    after = await offered(server, sent, LONE_CALLS_PER_SECOND, LONE_SECONDS)
    began = before[0].sent_at
    rows: dict[int, Counter[str]] = {}
    for call in (*before, *calls, *after):
        rows.setdefault(int(call.ended_at - began), Counter())[call.outcome] += 1
    later = [call.seconds for call in after if call.sent_at > ended + 1]
    return {
        **summary(calls, seconds),
        "lone ms before": 1e3 * statistics.median(call.seconds for call in before),
        "lone ms after": 1e3 * statistics.median(later),
        "rows": [[second, dict(counts)] for second, counts in sorted(rows.items())],
    }


async def refusal_seconds(
    server: Running, sent: Sequence[str], calls_per_second: float, seconds: float
) -> float:
    """Return the processor time of a refused call, the load generator's part included.

    The result is the least of five rounds, since it serves as a bound.
    """
    processes = (psutil.Process(), psutil.Process(server.pid))

    def spent() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    rounds = []
    for _ in range(REFUSAL_ROUNDS):
        began = spent()
        calls = await offered(server, sent, calls_per_second, seconds / REFUSAL_ROUNDS)
        rounds.append((spent() - began) / len(calls))
    return min(rounds)


def main() -> None:
    """Measure, keep the numbers in build/overload.json, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--long-seconds", type=float, default=30, help="of the overload")
    parser.add_argument(
        "--only", default="", help="beside Valence, the servers with this in their name"
    )
    parser.add_argument("--report-only", action="store_true", help="write the page anew")
    arguments = parser.parse_args()
    if not arguments.report_only:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(_measured(arguments), indent=1))
    print(overload_page.write(json.loads(RESULTS.read_text()), ROOT / "docs"))


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    model = Path(valence_model.path())
    sent = texts.short(Tokenizer.from_file(str(model / "tokenizer.json")))
    chosen = [
        subject
        for subject in subjects(model)
        if subject.name in COMPARED
        and (subject.name == OURS or arguments.only.lower() in subject.name.lower())
    ]
    results: dict[str, Any] = {
        "servers": {},
        "cpu": machine.cpu_name(),
        "cores": machine.cores(),
        "deadline seconds": DEADLINE_SECONDS,
        "peak callers": PEAK_CALLERS,
        "seconds": arguments.seconds,
        "long seconds": arguments.long_seconds,
    }
    with (
        tqdm(total=len(chosen) * (len(FACTORS) + 1) + 2, unit="load") as bar,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as on,
    ):
        for subject in chosen:
            bar.set_description(subject.name)
            with running(subject) as server:
                found = on.run(measure(server, sent, seconds=arguments.seconds, bar=bar))
                results["servers"][subject.name] = found
                if subject.name == OURS:
                    results["long"] = on.run(
                        long_overload(server, sent, found["peak"], arguments.long_seconds)
                    )
                    bar.update()
        bar.set_description(BARE.name)
        with running(BARE) as server:
            # At three times the peak, a server refuses about two calls in three.
            rate = 2 * results["servers"][OURS]["peak"]
            results["refusal seconds"] = on.run(
                refusal_seconds(server, sent, rate, arguments.seconds)
            )
        bar.update()
    return results


if __name__ == "__main__":
    main()
