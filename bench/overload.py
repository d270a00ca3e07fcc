"""More calls than a server can answer: ``make overload``.

Calls come at a rate, each with a deadline of a second, at some parts and multiples of the server's
own peak. What is written: docs/overload.md and its plots.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import report
import texts
import uvloop
import valence_model
from openloop import LATE, OK, REFUSED, Call, Caller, at_rate, saturated
from subjects import BARE, HERE, Running, running, subjects
from tokenizers import Tokenizer
from tqdm import tqdm

DEADLINE_SECONDS = 1.0
FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
COMPARED = (report.OURS, "tutorial", "LitServe, OpenVINO inside")
# Alone, before and after the long overload.
LONE_CALLS_PER_SECOND, LONE_SECONDS = 20, 5
RESULTS = HERE.parent / "build/overload.json"
PAGE = """# Overload

Written by `make overload`. Callers come at a steady rate, whether they are answered or not, and
each has a deadline of {deadline:.0f} s: an answer after it is lost. The load is in multiples of
each server's own peak, which is what it answers {callers} callers a second who wait for each answer
before they ask again. Short texts of about 23 tokens, {seconds:.0f} s for each load; the load
generator shares the machine: {cpu}, {cores} cores. The servers are those of the
[benchmarks](benchmarks.md).

{table}

![Answers in time against offered load](overload/goodput.svg)

## Three times the peak for {long:.0f} s

{long_table}

![Answers and refusals a second, before, in and after the overload](overload/recovery.svg)

## What can be had

A call takes about {call_ms:.2f} ms of a core, the load generator's part included: {cores} cores,
and {best:.0f} answers a second in the best of these runs. A bare grpc.aio server that refuses each
of {rate:.0f} calls a second and does nothing else takes {refusal_ms:.2f} ms for each in the best of
five rounds, the generator's part included. Cores that refuse do not compute: at three times the
peak a server on grpc.aio can answer about {most:.2f} of it here, which is
(cores - 3 peaks x refusal) / (call - refusal) / peak. For nine tenths, a call would have to cost as
much as 21 refusals; the quicker a server answers, the less of its peak is left.
"""


async def measure(server: Running, sent: list[str], *, seconds: float, bar: tqdm[Any]) -> Any:
    """The peak, and what becomes of the calls at each load."""
    caller = Caller(server, sent, deadline_seconds=10)
    peak = await saturated(caller, callers=256, seconds=2 * seconds)
    caller.close()
    bar.update()
    found: dict[str, Any] = {"peak": peak, "loads": {}}
    for factor in FACTORS:
        calls = await offered(server, sent, factor * peak, seconds)
        found["loads"][str(factor)] = summary(calls, seconds)
        bar.update()
    return found


async def offered(
    server: Running, sent: list[str], calls_per_second: float, seconds: float
) -> list[Call]:
    """What became of calls at a rate."""
    caller = Caller(server, sent, deadline_seconds=DEADLINE_SECONDS)
    calls = await at_rate(caller, calls_per_second, seconds=seconds)
    caller.close()
    return calls


def summary(calls: Sequence[Call], seconds: float) -> dict[str, float]:
    """Calls a second by what they ended with, and how long refusals took."""
    kinds = Counter(call.kind for call in calls)
    refusals = [call for call in calls if call.kind == REFUSED]
    return {
        "offered": len(calls) / seconds,
        **{kind: count / seconds for kind, count in kinds.items()},
        "refused ms p50": 1e3 * statistics.median([call.seconds for call in refusals] or [0]),
        "told when to retry": sum(call.told_when_to_retry for call in refusals)
        / max(1, len(refusals)),
    }


async def long_overload(server: Running, sent: list[str], peak: float, seconds: float) -> Any:
    """Lone calls, three times the peak, and lone calls again, a row for each second."""
    before = await offered(server, sent, LONE_CALLS_PER_SECOND, LONE_SECONDS)
    calls = await offered(server, sent, 3 * peak, seconds)
    ended = max(call.sent_at for call in calls)
    after = await offered(server, sent, LONE_CALLS_PER_SECOND, LONE_SECONDS)
    began = before[0].sent_at
    rows: dict[int, Counter[str]] = {}
    for call in (*before, *calls, *after):
        rows.setdefault(int(call.ended_at - began), Counter())[call.kind] += 1
    later = [call.seconds for call in after if call.sent_at > ended + 1]
    return {
        **summary(calls, seconds),
        "lone ms before": 1e3 * statistics.median(call.seconds for call in before),
        "lone ms after": 1e3 * statistics.median(later),
        "rows": [[second, dict(counts)] for second, counts in sorted(rows.items())],
    }


async def refusal_seconds(
    server: Running, sent: list[str], calls_per_second: float, seconds: float
) -> float:
    """Processor time of a call that a server refuses, the load generator's part included.

    The least of five rounds: what is looked for is a bound.
    """
    processes = (psutil.Process(), psutil.Process(server.pid))

    def spent() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    rounds = []
    for _ in range(5):
        began = spent()
        calls = await offered(server, sent, calls_per_second, seconds / 5)
        rounds.append((spent() - began) / len(calls))
    return min(rounds)


def write(results: dict[str, Any], docs: Path, *, seconds: float, long_seconds: float) -> Path:
    """The page and its plots; where it is."""
    (docs / "overload").mkdir(exist_ok=True)
    _plot_goodput(results["servers"], docs / "overload/goodput.svg")
    _plot_recovery(results["long"]["rows"], docs / "overload/recovery.svg")
    head = ["| | peak, answers/s |", *(f" {factor:g} x |" for factor in FACTORS)]
    table = ["".join(head), "|---" * (len(FACTORS) + 2) + "|"]
    for name, found in results["servers"].items():
        parts = (found["loads"][str(f)].get(OK, 0) / found["peak"] for f in FACTORS)
        cells = "".join(f" {part:.2f} |" for part in parts)
        table.append(f"| {name}, answers in time, of the peak | {found['peak']:.0f} |{cells}")
    ours, peak = results["servers"][report.OURS]["loads"], results["servers"][report.OURS]["peak"]
    for what, title in (("refused ms p50", "ms to a refusal, median"), (LATE, "late, calls/s")):
        cells = "".join(f" {ours[str(f)].get(what, 0):.0f} |" for f in FACTORS)
        table.append(f"| {report.OURS}, {title} | |{cells}")
    long = results["long"]
    rows = {
        "offered, calls/s": f"{long['offered']:.0f}",
        "answered in time, a second": f"{long.get(OK, 0):.0f}",
        "answered in time, of the peak": f"{long.get(OK, 0) / peak:.2f}",
        "refused, a second": f"{long.get(REFUSED, 0):.0f}",
        "late, a second": f"{long.get(LATE, 0):.0f}",
        "refusals that said when to come back": f"{long['told when to retry']:.0%}",
        "ms to a refusal, median": f"{long['refused ms p50']:.1f}",
        "ms a lone caller waits, before": f"{long['lone ms before']:.1f}",
        "ms a lone caller waits, from one second after": f"{long['lone ms after']:.1f}",
    }
    cores, refusal = results["cores"], results["refusal seconds"]
    # Where callers do not wait for each other it may be more than the peak.
    best = max(peak, *(found.get(OK, 0) for found in ours.values()))
    call = cores / best
    page = docs / "overload.md"
    page.write_text(
        PAGE.format(
            deadline=DEADLINE_SECONDS,
            callers=256,
            seconds=seconds,
            long=long_seconds,
            table="\n".join(table),
            long_table="\n".join(
                ["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())]
            ),
            call_ms=1e3 * call,
            cpu=results["cpu"],
            cores=cores,
            best=best,
            refusal_ms=1e3 * refusal,
            rate=2 * peak,
            most=(cores - 3 * peak * refusal) / (call - refusal) / peak,
        )
    )
    return page


def _plot_goodput(servers: dict[str, Any], path: Path) -> None:
    figure, axes = report.plot()
    for name, found in servers.items():
        parts = [found["loads"][str(f)].get(OK, 0) / found["peak"] for f in FACTORS]
        axes.plot(FACTORS, parts, marker="o", markersize=4, label=name, **report.style(name))
    axes.set(
        xlabel="offered load, of the server's own peak",
        ylabel="answers in time, of the peak",
        title="Answers in time against offered load",
    )
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", frameon=False)
    report.save(figure, path)


def _plot_recovery(rows: list[Any], path: Path) -> None:
    figure, axes = report.plot()
    seconds = [second for second, _ in rows]
    for kind, label in ((OK, "answered in time"), (REFUSED, "refused"), (LATE, "late")):
        axes.plot(seconds, [counts.get(kind, 0) for _, counts in rows], label=label)
    axes.set(xlabel="seconds", ylabel="calls/s", title="Three times the peak")
    figure.legend(loc="outside right upper", frameon=False)
    report.save(figure, path)


def main() -> None:
    """Measure, keep the numbers in build/overload.json, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--long-seconds", type=float, default=30, help="of the overload")
    parser.add_argument(
        "--only", default="", help="beside Valence, the servers with this in theirs"
    )
    parser.add_argument("--report-only", action="store_true", help="write the page anew")
    arguments = parser.parse_args()
    if not arguments.report_only:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(_measured(arguments), indent=1))
    print(
        write(
            json.loads(RESULTS.read_text()),
            HERE.parent / "docs",
            seconds=arguments.seconds,
            long_seconds=arguments.long_seconds,
        )
    )


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    model = Path(valence_model.path())
    sent = texts.short(Tokenizer.from_file(str(model / "tokenizer.json")))
    chosen = [
        subject
        for subject in subjects(model)
        if subject.name in COMPARED
        and (subject.name == report.OURS or arguments.only.lower() in subject.name.lower())
    ]
    results: dict[str, Any] = {
        "servers": {},
        "cpu": report.cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
    }
    with tqdm(total=len(chosen) * (len(FACTORS) + 1) + 2, unit="load") as bar:
        for subject in chosen:
            bar.set_description(subject.name)
            with (
                running(subject) as server,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as on,
            ):
                on.run(_warm(server, sent))
                found = on.run(measure(server, sent, seconds=arguments.seconds, bar=bar))
                results["servers"][subject.name] = found
                if subject.name == report.OURS:
                    results["long"] = on.run(
                        long_overload(server, sent, found["peak"], arguments.long_seconds)
                    )
                    bar.update()
        bar.set_description(BARE.name)
        with (
            running(BARE) as server,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as on,
        ):
            # At three times the peak about two in three are refused.
            rate = 2 * results["servers"][report.OURS]["peak"]
            results["refusal seconds"] = on.run(
                refusal_seconds(server, sent, rate, arguments.seconds)
            )
        bar.update()
    return results


async def _warm(server: Running, sent: list[str]) -> None:
    caller = Caller(server, sent, deadline_seconds=10)
    await saturated(caller, callers=64, seconds=4)
    caller.close()


if __name__ == "__main__":
    main()
