"""The page of overload: tables and plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.calls import ANSWERED, LATE, REFUSED
from bench.plots import OURS, plot, save, style

PAGE = """# Overload

`make overload` writes this page. Calls come at a steady rate, whether the server answers or not.
Each call has a deadline of {deadline:.0f} s, and an answer after it is lost. The load is given in
multiples of each server's own peak: the answers a second to {callers} callers who each wait for one
before they ask again. The texts are short, of about 23 tokens, and each load lasts {seconds:.0f} s.
The load generator shares the machine: {cpu}, {cores} cores. The
[benchmarks](benchmarks.md) describe the servers.

{table}

![Answers in time against offered load](overload/goodput.svg)

## Three times the peak for {long:.0f} s

{long_table}

![Answers and refusals a second, before, in and after the overload](overload/recovery.svg)

## The upper bound

A call takes about {call_ms:.2f} ms of a core, the load generator's part included: there are {cores}
cores, and {best:.0f} answers a second in the best of these runs. A bare grpc.aio server that only
refuses, {rate:.0f} calls a second, takes {refusal_ms:.2f} ms for each in the best of five rounds,
the generator's part included. Cores that refuse do not compute. So at three times the peak a server
on grpc.aio can answer about {most:.2f} of it here: (cores - 3 peaks x refusal) / (call - refusal) /
peak. For nine tenths of the peak, a call would have to cost as much as 21 refusals. A server that
answers faster keeps less of its peak.
"""


def write(results: dict[str, Any], docs: Path) -> Path:
    """Write the page and its plots, and return the page's path."""
    (docs / "overload").mkdir(exist_ok=True)
    _plot_goodput(results["servers"], docs / "overload/goodput.svg")
    _plot_recovery(results["long"]["rows"], docs / "overload/recovery.svg")
    ours = results["servers"][OURS]
    peak, cores, refusal = ours["peak"], results["cores"], results["refusal seconds"]
    # It can exceed the peak, since these callers do not wait for each other.
    best = max(peak, *(found.get(ANSWERED, 0) for found in ours["loads"].values()))
    call = cores / best
    page = docs / "overload.md"
    page.write_text(
        PAGE.format(
            deadline=results["deadline seconds"],
            callers=results["peak callers"],
            seconds=results["seconds"],
            long=results["long seconds"],
            table=_table(results["servers"]),
            long_table=_long_table(results["long"], peak),
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


def _table(servers: dict[str, Any]) -> str:
    factors = servers[OURS]["loads"]
    head = ["| | peak, answers/s |", *(f" {float(factor):g} x |" for factor in factors)]
    lines = ["".join(head), "|---" * (len(factors) + 2) + "|"]
    for name, found in servers.items():
        parts = (load.get(ANSWERED, 0) / found["peak"] for load in found["loads"].values())
        cells = "".join(f" {part:.2f} |" for part in parts)
        lines.append(f"| {name}, answers in time, of the peak | {found['peak']:.0f} |{cells}")
    for what, title in (("refused ms p50", "ms to a refusal, median"), (LATE, "late, calls/s")):
        cells = "".join(f" {load.get(what, 0):.0f} |" for load in factors.values())
        lines.append(f"| {OURS}, {title} | |{cells}")
    return "\n".join(lines)


def _long_table(long: dict[str, Any], peak: float) -> str:
    rows = {
        "offered, calls/s": f"{long['offered']:.0f}",
        "answered in time, a second": f"{long.get(ANSWERED, 0):.0f}",
        "answered in time, of the peak": f"{long.get(ANSWERED, 0) / peak:.2f}",
        "refused, a second": f"{long.get(REFUSED, 0):.0f}",
        "late, a second": f"{long.get(LATE, 0):.0f}",
        "refusals that said when to come back": f"{long['told when to retry']:.0%}",
        "ms to a refusal, median": f"{long['refused ms p50']:.1f}",
        "ms a lone caller waits, before": f"{long['lone ms before']:.1f}",
        "ms a lone caller waits, from one second after": f"{long['lone ms after']:.1f}",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())])


def _plot_goodput(servers: dict[str, Any], path: Path) -> None:
    figure, axes = plot()
    for name, found in servers.items():
        factors = [float(factor) for factor in found["loads"]]
        parts = [load.get(ANSWERED, 0) / found["peak"] for load in found["loads"].values()]
        axes.plot(factors, parts, marker="o", markersize=4, label=name, **style(name))
    axes.set(
        xlabel="offered load, of the server's own peak",
        ylabel="answers in time, of the peak",
        title="Answers in time against offered load",
    )
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)


def _plot_recovery(rows: list[Any], path: Path) -> None:
    figure, axes = plot()
    seconds = [second for second, _ in rows]
    for kind, label in ((ANSWERED, "answered in time"), (REFUSED, "refused"), (LATE, "late")):
        axes.plot(seconds, [counts.get(kind, 0) for _, counts in rows], label=label)
    axes.set(xlabel="seconds", ylabel="calls/s", title="Three times the peak")
    figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)
