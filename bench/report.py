"""The page of results: tables of medians, ratios and plots."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from load import PERCENTILES
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from subjects import BARE, PEERS

Runs = dict[str, dict[str, list[float]]]
"""By server and measure, a value for each round."""
OURS, ENGINE = "Valence", "engine alone"
# What the answers are made of, which is no peer.
PARTS = (ENGINE, BARE.name)
PLOTS = {
    "throughput": "Texts a second against callers",
    "waits": "Milliseconds that 64 callers wait, by percentile",
    "start": "Seconds from process start to the first answer",
    "memory": "Resident memory after short texts, MB",
}
_CALLERS = re.compile(r"texts/s, (\d+) callers")
COLUMNS = (
    ("texts/s, 64 callers", "texts/s, 64 callers", 0),
    ("texts/s, mixed, 64 callers", "mixed lengths, 64 callers", 0),
    ("texts/s, stream", "one stream", 0),
    ("ms, p50, 1 callers", "ms, a lone caller", 1),
    ("ms, p50, 64 callers", "ms of 64, p50", 0),
    ("ms, p99, 64 callers", "ms of 64, p99", 0),
    ("start seconds", "start, s", 1),
    ("memory MB", "memory, MB", 0),
    ("memory MB, after mixed", "after mixed lengths, MB", 0),
)
INTRODUCTION = """# Benchmarks

Written by `make bench`, which anyone can run (it needs `h2load`, and half an hour). Every
server holds the embedded model on the same machine, which the load generator shares with it. Each
round starts each server afresh and asks it by itself. The figures are the median of {rounds}
round{s}, with the least and the most in brackets.

**Machine:** {cpu}, {cores} cores, {memory} GiB, Python {python}.
**Versions:** {versions}.

Short texts have about 23 tokens; mixed ones 5 to 250, their lengths spread as reviews' are. Callers
wait for each answer before they send the next text: by h2load, over gRPC for Valence and HTTP/1.1
with JSON for the others. A stream is sent and read by one Python client on the same two cores. The
start runs from the process to its first answer; the memory counts what a server's processes share
once. 0 texts/s: of the calls that began after the warm-up, none was answered in the load's time.
"""
SERVERS = """## What is compared

* **Valence**: `valence-serve` as it is installed.
* **tutorial**: FastAPI on uvicorn, one `pipeline()` call in a thread for each request.
* **LitServe**, **MLServer**, **Ray Serve**: with their batching on (at most 64 texts, 5 ms), the
  pipeline called on the batch, one worker that may use all cores. **OpenVINO inside** has the same
  int8 model instead, compiled as OpenVINO does it by default, so that serving itself is compared.

Their files are in `bench/peers/`, an environment for each.
"""
BOUNDS = """## What can be had

The engine alone, each of its threads fed full batches in a loop, takes {engine_ms:.2f} ms of a core
for a short text. A bare grpc.aio server (`bench/bare.py`), which has no model and answers at once,
takes {call_ms:.2f} ms for each call of 64 callers and {text_ms:.2f} ms for each text of a stream,
the load generator's part included. Both share the cores. What a service on grpc.aio would have
with full batches and without one instruction of its own stands in the table as "about at most":
about, as the machine's pace is another in each minute, and more callers cost less each. A lone
caller waits {lone_ms:.2f} ms for the bare server.
"""


def write(runs: Runs, docs: Path) -> Path:
    """The page and its plots; where it is."""
    plots = docs / "benchmarks"
    plots.mkdir(parents=True, exist_ok=True)
    _plot_lines(runs, plots / "throughput.svg")
    _plot_waits(runs, plots / "waits.svg")
    _plot_bars(runs, "start seconds", "start", plots / "start.svg")
    _plot_bars(runs, "memory MB", "memory", plots / "memory.svg")
    page = docs / "benchmarks.md"
    pictures = "\n".join(f"![{title}](benchmarks/{name}.svg)\n" for name, title in PLOTS.items())
    page.write_text(
        "\n".join(
            (
                _introduction(runs),
                _table(runs),
                "",
                _ratios(runs),
                "",
                pictures,
                _bounds(runs),
                SERVERS,
            )
        )
    )
    return page


def _introduction(runs: Runs) -> str:
    rounds = len(runs[OURS]["start seconds"])
    versions = {
        name: importlib.metadata.version(name)
        for name in ("grpcio", "openvino", "torch", "transformers", "fastapi", "uvicorn")
    }
    for packages in sorted(PEERS.glob("*.txt")):
        pins = (line.split("==") for line in packages.read_text().splitlines())
        versions |= {name: pin for name, pin in pins if name.startswith(packages.stem)}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return INTRODUCTION.format(
        rounds=rounds,
        s="s" * (rounds != 1),
        cpu=cpu_name(),
        cores=cores(),
        memory=round(memory),
        python=platform.python_version(),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
    )


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def _table(runs: Runs) -> str:
    def cell(values: list[float] | None, digits: int) -> str:
        if not values:
            return "-"
        median, least, most = statistics.median(values), min(values), max(values)
        spread = f" ({least:,.{digits}f} to {most:,.{digits}f})" if len(values) > 1 else ""
        return f"{median:,.{digits}f}{spread}"

    head = "| | " + " | ".join(title for _, title, _ in COLUMNS) + " |"
    rows = [
        f"| {'**Valence**' if name == OURS else name} | "
        + " | ".join(cell(measures.get(key), digits) for key, _, digits in COLUMNS)
        + " |"
        for name, measures in runs.items()
        if name not in PARTS
    ]
    return "\n".join((head, "|---" * (len(COLUMNS) + 1) + "|", *rows))


def _ratios(runs: Runs) -> str:
    """Of Valence's medians to the others', and of the most that can be had."""
    many, mixed, stream = "texts/s, 64 callers", "texts/s, mixed, 64 callers", "texts/s, stream"
    lone = "ms, p50, 1 callers"
    most = {
        many: _most(runs, "texts/s, short", "core ms, call"),
        mixed: _most(runs, "texts/s, mixed", "core ms, call"),
        stream: _most(runs, "texts/s, short", "core ms, text"),
    }

    def row(title: str, ours: str, name: str, theirs: str) -> str:
        divisor = _median(runs, name, theirs)
        ratio = _median(runs, OURS, ours) / divisor
        at_most = f"{most[ours] / divisor:.2f}" if ours in most else "-"
        return f"| {title}, against {name} | {ratio:.2f} | {at_most} |"

    lines = ["| Valence's | ratio | about at most |", "|---|---|---|"]
    others = [name for name in runs if name not in (OURS, *PARTS)]
    lines += [row(many, many, name, many) for name in others]
    if "tutorial" in runs:
        lines += [
            row("texts/s, one stream", stream, "tutorial", many),
            row("texts/s, mixed lengths", mixed, "tutorial", mixed),
            row("a lone caller's wait", lone, "tutorial", lone),
            row("start", "start seconds", "tutorial", "start seconds"),
            row("memory", "memory MB", "tutorial", "memory MB"),
        ]
    lines += [
        row(many, many, ENGINE, "texts/s, short"),
        row("texts/s, one stream", stream, ENGINE, "texts/s, short"),
    ]
    beyond = _median(runs, OURS, "ms, beyond the engine")
    lines.append(f"| a lone caller's wait less the engine's own time | {beyond:.2f} ms | - |")
    return "\n".join(lines)


def _most(runs: Runs, engine: str, bare: str) -> float:
    """Texts a second where the engine alone and a bare grpc.aio server share the cores.

    The median of the rounds, each of whose two parts are of the same minutes.
    """
    rounds = zip(runs[ENGINE][engine], runs[BARE.name][bare], strict=True)
    return statistics.median(
        1 / (1 / texts_per_second + bare_ms / 1e3 / cores()) for texts_per_second, bare_ms in rounds
    )


def _bounds(runs: Runs) -> str:
    return BOUNDS.format(
        engine_ms=1e3 * cores() / _median(runs, ENGINE, "texts/s, short"),
        call_ms=_median(runs, BARE.name, "core ms, call"),
        text_ms=_median(runs, BARE.name, "core ms, text"),
        lone_ms=_median(runs, BARE.name, "ms, p50, 1 callers"),
    )


def _median(runs: Runs, name: str, measure: str) -> float:
    return statistics.median(runs[name][measure])


def plot() -> tuple[Figure, Axes]:
    """An empty plot in the pages' manner."""
    plt.switch_backend("svg")
    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "valence", "font.size": 9}
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """As an SVG that is the same for the same numbers."""
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def style(name: str) -> dict[str, Any]:
    """What sets our line apart."""
    return {"color": "#c2410c", "linewidth": 2.5, "zorder": 3} if name == OURS else {}


def _plot_lines(runs: Runs, path: Path) -> None:
    figure, axes = plot()
    callers = sorted(int(found[1]) for name in runs[OURS] if (found := _CALLERS.fullmatch(name)))
    for name, measures in runs.items():
        if name not in PARTS:
            rates = [statistics.median(measures[f"texts/s, {n} callers"]) for n in callers]
            axes.plot(callers, rates, marker="o", markersize=4, label=name, **style(name))
    axes.set(xscale="log", xlabel="callers", ylabel="texts/s", title=PLOTS["throughput"])
    axes.set_xticks(callers, [str(n) for n in callers])
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)


def _plot_waits(runs: Runs, path: Path) -> None:
    figure, axes = plot()
    for name, measures in runs.items():
        if name not in PARTS:
            waits = [statistics.median(measures[f"ms, p{p}, 64 callers"]) for p in PERCENTILES]
            axes.plot(PERCENTILES, waits, marker="o", markersize=4, label=name, **style(name))
    axes.set(yscale="log", xlabel="percentile", ylabel="ms", title=PLOTS["waits"])
    axes.set_xticks(PERCENTILES)
    figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)


def _plot_bars(runs: Runs, measure: str, name: str, path: Path) -> None:
    figure, axes = plot()
    names = [name for name in runs if measure in runs[name] and name not in PARTS][::-1]
    values = [statistics.median(runs[name][measure]) for name in names]
    colours = ["#c2410c" if name == OURS else "#94a3b8" for name in names]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, fmt="%.1f" if max(values) < 100 else "%.0f", padding=3)
    axes.set(title=PLOTS[name])
    save(figure, path)


def cpu_name() -> str:
    """What the processor calls itself."""
    return next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
