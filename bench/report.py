"""The page of the benchmark: tables of medians, ratios and plots."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import statistics
from datetime import UTC, datetime
from pathlib import Path

from bench import machine
from bench.load import PERCENTILES
from bench.plots import OUR_COLOUR, OURS, THEIR_COLOUR, plot, save, style
from bench.subjects import BARE, OURS_BY_HTTP, OURS_WITH_ITS, PEERS, TUTORIALS_OWN

Runs = dict[str, dict[str, list[float]]]
"""By server and measure, a value for each round."""
ENGINE = "engine alone"
# The bounds, which are no peers.
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
PAGE = """# Benchmarks

`make bench` measures Valence beside its peers, in half an hour. It writes the section of the kind
of processor that it runs on, and leaves the others. Every server holds the embedded model on the
same machine, and the load generator shares that machine. Each round starts each server afresh, one
at a time.

Short texts have about 23 tokens; mixed ones have 5 to 250, with lengths spread as those of reviews
are. A caller waits for each answer before it sends the next text, over gRPC to Valence and over
HTTP/1.1 with JSON to the others. One load generator asks them all. It counts the status of every
call, and stops the benchmark at a refusal or an error. One Python client sends and reads a stream
on the same cores. The start runs from the process to its first answer. The memory counts once
what a server's processes share. 0 texts/s means that no answer came within the load's time.
"""
MARK = "<!-- {} -->"
END = "end of the processors"
SECTION = """## {title}

**Measured** on {date}: the median of {rounds} round{s}, with the least and the most in brackets.
**Machine:** {cpu}, {cores} cores, {memory} GiB, Python {python}.
**Versions:** {versions}.
"""
SERVERS = """## The servers

* **Valence**: `valence-serve` with its defaults, over gRPC. **Valence, /analyze** is the same over
  HTTP/1.1 with JSON.
* **tutorial**: FastAPI on uvicorn, one `pipeline()` call in a thread for each request.
* **LitServe**, **MLServer**, **Ray Serve**: with batching (at most 64 texts, 5 ms), the pipeline
  called on the batch, and one worker that may use all cores. **OpenVINO inside** replaces the
  pipeline by the int8 model that Valence serves, compiled with OpenVINO's defaults; so the serving
  itself is compared.
* **DistilBERT**: the model that the tutorial loads as it is written, of six layers and 768 columns,
  in the tutorial and in Valence. It has random weights here, since speed does not depend on them.

Their files are in `bench/peers/`, each with an environment of its own.
"""
BOUNDS = """### Upper bounds

The engine alone takes {engine_ms:.2f} ms of a core for a short text when each of its threads gets
full batches in a loop. A bare grpc.aio server (`bench/bare.py`) has no model and answers at once.
It takes {call_ms:.2f} ms for each call of 64 callers, and {text_ms:.2f} ms for each text of a
stream, the load generator's part included. Both share the cores. The column "about at most" is a
service on grpc.aio with full batches and no code of its own. It is an estimate: the machine's speed
changes by the minute, and more callers cost less each. A lone caller waits {lone_ms:.2f} ms for the
bare server.
"""


def write(runs: Runs, docs: Path) -> Path:
    """Write the section of this kind of processor and its plots, and return the page's path."""
    kind = machine.kind()
    plots = docs / "benchmarks" / kind
    plots.mkdir(parents=True, exist_ok=True)
    _plot_throughput(runs, plots / "throughput.svg")
    _plot_waits(runs, plots / "waits.svg")
    _plot_bars(runs, "start seconds", "start", plots / "start.svg")
    _plot_bars(runs, "memory MB", "memory", plots / "memory.svg")
    pictures = "\n".join(
        f"![{title}](benchmarks/{kind}/{name}.svg)\n" for name, title in PLOTS.items()
    )
    parts = _introduction(runs, kind), _table(runs), "", _ratios(runs), "", pictures, _bounds(runs)
    page = docs / "benchmarks.md"
    sections = {kind: "\n".join(parts), **_other_sections(page.read_text(), kind)}
    marked = [f"{MARK.format(kind)}\n{section}" for kind, section in sections.items()]
    page.write_text("\n".join((PAGE, *marked, MARK.format(END), "", SERVERS)))
    return page


def _other_sections(page: str, kind: str) -> dict[str, str]:
    """Return the sections of the other kinds of processor, in the page's order."""
    mark = re.compile(MARK.format("(" + "|".join((*machine.KINDS, END)) + ")") + "\n")
    _, *parts = mark.split(page)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    return {
        name: section.rstrip("\n") + "\n"
        for name, section in sections.items()
        if name not in (kind, END)
    }


def _introduction(runs: Runs, kind: str) -> str:
    rounds = len(runs[OURS]["start seconds"])
    versions = {
        name: importlib.metadata.version(name)
        for name in ("grpcio", "openvino", "torch", "transformers", "fastapi", "uvicorn")
    }
    for packages in sorted(PEERS.glob("*.txt")):
        pins = (line.split("==") for line in packages.read_text().splitlines())
        versions |= {name: pin for name, pin in pins if name.startswith(packages.stem)}
    return SECTION.format(
        title=machine.KINDS[kind],
        date=datetime.now(tz=UTC).date().isoformat(),
        rounds=rounds,
        s="s" * (rounds != 1),
        cpu=machine.cpu_name(),
        cores=machine.cores(),
        memory=machine.memory_gib(),
        python=platform.python_version(),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
    )


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
    """Return a table of Valence's medians to the others', beside the bound of each."""
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
    others = [name for name in runs if name not in (OURS, OURS_BY_HTTP, OURS_WITH_ITS, *PARTS)]
    if OURS_BY_HTTP in runs:
        by_http = _median(runs, OURS_BY_HTTP, many) / _median(runs, OURS, many)
        lines.append(f"| {many}, /analyze against gRPC | {by_http:.2f} | - |")
    lines += [row(many, many, name, many) for name in others]
    if "tutorial" in runs:
        lines += [
            row("texts/s, one stream", stream, "tutorial", many),
            row("texts/s, mixed lengths", mixed, "tutorial", mixed),
            row("a lone caller's wait", lone, "tutorial", lone),
            row("start", "start seconds", "tutorial", "start seconds"),
            row("memory", "memory MB", "tutorial", "memory MB"),
        ]
    if TUTORIALS_OWN in runs:
        lines += [row("texts/s, mixed lengths", mixed, TUTORIALS_OWN, mixed)]
        for title, measure in ((many, many), ("texts/s, mixed lengths", mixed)):
            ratio = _median(runs, OURS_WITH_ITS, measure) / _median(runs, TUTORIALS_OWN, measure)
            lines.append(
                f"| {title}, both with DistilBERT, against the tutorial | {ratio:.2f} | - |"
            )
    lines += [
        row(many, many, ENGINE, "texts/s, short"),
        row("texts/s, one stream", stream, ENGINE, "texts/s, short"),
    ]
    beyond = _median(runs, OURS, "ms, beyond the engine")
    lines.append(f"| a lone caller's wait less the engine's own time | {beyond:.2f} ms | - |")
    return "\n".join(lines)


def _most(runs: Runs, engine: str, bare: str) -> float:
    """Return the texts a second where the engine and a bare grpc.aio server share the cores.

    This is the median of the rounds, since both parts of a round are of the same minutes.
    """
    rounds = zip(runs[ENGINE][engine], runs[BARE.name][bare], strict=True)
    return statistics.median(
        1 / (1 / texts_per_second + bare_ms / 1e3 / machine.cores())
        for texts_per_second, bare_ms in rounds
    )


def _bounds(runs: Runs) -> str:
    return BOUNDS.format(
        engine_ms=1e3 * machine.cores() / _median(runs, ENGINE, "texts/s, short"),
        call_ms=_median(runs, BARE.name, "core ms, call"),
        text_ms=_median(runs, BARE.name, "core ms, text"),
        lone_ms=_median(runs, BARE.name, "ms, p50, 1 callers"),
    )


def _median(runs: Runs, name: str, measure: str) -> float:
    return statistics.median(runs[name][measure])


def _plot_throughput(runs: Runs, path: Path) -> None:
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
    colours = [OUR_COLOUR if name == OURS else THEIR_COLOUR for name in names]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, fmt="%.1f" if max(values) < 100 else "%.0f", padding=3)
    axes.set(title=PLOTS[name])
    save(figure, path)
