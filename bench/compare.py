"""Measure Valence beside its peers, into docs/benchmarks.md: ``make bench`` (``ARGS=--quick``).

Each round starts every server afresh, one at a time, and sends it the same texts for the same
model. So a slow spell of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil
import valence_model
from tokenizers import Tokenizer
from tqdm import tqdm

from bench import distilbert, engine_alone, load, report, texts
from bench.plots import OURS
from bench.report import Runs
from bench.subjects import (
    BARE,
    OURS_BY_HTTP,
    ROOT,
    Running,
    Subject,
    distilbert_subjects,
    running,
    subjects,
)

CALLERS = (1, 8, 64, 256)
QUICK_CALLERS = (1, 64)
QUICK_SECONDS = 1.5
WARM_SECONDS = 2.0
LONE_TURNS, LONE_SECONDS = 10, 0.4
# The bounds are measured for longer, since every ratio leans on them.
PARTS_SECONDS_FACTOR = 3
RESULTS = ROOT / "build/bench.json"


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    rounds: int
    seconds: float
    """Of each load, its warm-up not counted."""
    callers: tuple[int, ...]


def measure(
    subject: Subject, sets: dict[str, list[str]], plan: Plan, bar: tqdm[NoReturn]
) -> dict[str, float]:
    """Start a server, and return the measures of every load on it."""
    found: dict[str, float] = {}
    with running(subject) as server:
        found["start seconds"] = server.start_seconds
        load.unary(server, sets["short"], callers=64, seconds=WARM_SECONDS)
        bar.update()
        for callers in plan.callers:
            got = load.unary(server, sets["short"], callers=callers, seconds=plan.seconds)
            found[f"texts/s, {callers} callers"] = got.texts_per_second
            for percentile, wait in got.wait_ms.items():
                found[f"ms, p{percentile}, {callers} callers"] = wait
            bar.update()
        if subject.protocol == "grpc":
            found["texts/s, stream"] = load.stream(server, sets["short"], seconds=plan.seconds)
        bar.update()
        found["memory MB"] = server.memory_mb()
        load.unary(server, sets["mixed"], callers=64, seconds=WARM_SECONDS)
        bar.update()
        # The slowest takes three seconds for an answer here.
        mixed = load.unary(server, sets["mixed"], callers=64, seconds=2 * plan.seconds)
        found["texts/s, mixed, 64 callers"] = mixed.texts_per_second
        found["memory MB, after mixed"] = server.memory_mb()
        bar.update()
    return found


def bare(texts: list[str], seconds: float) -> dict[str, float]:
    """Return the cost of grpc.aio without a model.

    It is in milliseconds of a core, the load generator's part included: for a call of 64 callers
    who each wait for an answer, and for a text of a stream.
    """
    with running(BARE) as server:
        load.unary(server, texts, callers=64, seconds=WARM_SECONDS)
        with _cores(server) as calls_cores:
            calls = load.unary(server, texts, callers=64, seconds=seconds).texts_per_second
        with _cores(server) as stream_cores:
            streamed = load.stream(server, texts, seconds=seconds)
        lone = load.unary(server, texts, callers=1, seconds=seconds)
    return {
        "core ms, call": 1e3 * calls_cores.pop() / calls,
        "core ms, text": 1e3 * stream_cores.pop() / streamed,
        "ms, p50, 1 callers": lone.wait_ms[50],
    }


@contextmanager
def _cores(server: Running) -> Iterator[list[float]]:
    """Yield a list that holds, at the end, the mean cores of a server and its load generator."""
    cores: list[float] = []

    def spent() -> float:
        processes = (psutil.Process(), psutil.Process(server.pid))
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    began, spent_before = time.perf_counter(), spent()
    yield cores
    cores.append((spent() - spent_before) / (time.perf_counter() - began))


def engine(model: Path, seconds: float) -> dict[str, float]:
    """Return the rates of the same engine in a loop, without a server."""
    found = {}
    for chosen in ("short", "mixed"):
        printed = subprocess.run(
            (sys.executable, "-m", "bench.engine_alone", str(model), chosen, str(seconds)),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found[f"texts/s, {chosen}"] = float(printed.splitlines()[-1])  # a log may precede it
    return found


def lone(ours: Subject, model: Path, texts: list[str]) -> dict[str, float]:
    """Return the wait of a lone caller beyond the engine's own time for the text.

    Both take turns, since the speed of a shared machine changes within seconds.
    """
    classifier = engine_alone.load(model)[0]
    beyond = []
    with running(ours) as server:
        load.unary(server, texts, callers=1, seconds=WARM_SECONDS)
        for _ in range(LONE_TURNS):
            own = engine_alone.lone_ms(classifier, texts[0])
            waited = load.unary(server, texts[:1], callers=1, seconds=LONE_SECONDS)
            beyond.append(waited.wait_ms[50] - own)
    return {"ms, beyond the engine": statistics.median(beyond)}


def main() -> None:
    """Measure, keep the numbers in build/bench.json, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, fewer loads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each load")
    parser.add_argument(
        "--only", default="", help="beside Valence, the servers with this in their name"
    )
    parser.add_argument("--model", type=Path, default=Path(valence_model.path()))
    parser.add_argument("--report-only", action="store_true", help="write the page anew")
    arguments = parser.parse_args()
    if not arguments.report_only:
        plan = Plan(arguments.rounds, arguments.seconds, CALLERS)
        if arguments.quick:
            plan = Plan(1, QUICK_SECONDS, QUICK_CALLERS)
        runs = compare(arguments.model.resolve(), plan, arguments.only)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(runs, indent=1))
    print(report.write(json.loads(RESULTS.read_text()), ROOT / "docs"))


def _distilbert(tokenizer: Path) -> Path:
    """Return the folder of the tutorial's own model, made and prepared for Valence."""
    folder = distilbert.make(ROOT / "build/distilbert", tokenizer)
    prepare = (sys.executable, "-m", "valence_service", "--model", str(folder), "--prepare")
    subprocess.run(prepare, cwd=ROOT, check=True)
    return folder


def compare(model: Path, plan: Plan, only: str) -> Runs:
    """Return the measures of every round, of every server and of the bounds."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    sets = {"short": texts.short(tokenizer), "mixed": texts.mixed(tokenizer)}
    chosen = [
        subject
        for subject in (*subjects(model), *distilbert_subjects(_distilbert(model)))
        if subject.name in (OURS, OURS_BY_HTTP) or only.lower() in subject.name.lower()
    ]
    runs: Runs = defaultdict(lambda: defaultdict(list))
    steps = len(plan.callers) + 4
    parts_seconds = PARTS_SECONDS_FACTOR * plan.seconds
    with tqdm(total=plan.rounds * (len(chosen) * steps + 3), unit="load") as bar:
        for number in range(plan.rounds):
            # Another order in each round: the first server may find the machine cooler.
            for subject in chosen[number % len(chosen) :] + chosen[: number % len(chosen)]:
                bar.set_description(f"round {number + 1}, {subject.name}")
                for name, value in measure(subject, sets, plan, bar).items():
                    runs[subject.name][name].append(value)
            bar.set_description(f"round {number + 1}, {report.ENGINE}")
            for name, value in engine(model, parts_seconds).items():
                runs[report.ENGINE][name].append(value)
            bar.update()
            bar.set_description(f"round {number + 1}, a lone caller beside the engine")
            for name, value in lone(chosen[0], model, sets["short"]).items():
                runs[OURS][name].append(value)
            bar.update()
            bar.set_description(f"round {number + 1}, {BARE.name}")
            for name, value in bare(sets["short"], parts_seconds).items():
                runs[BARE.name][name].append(value)
            bar.update()
    return runs


if __name__ == "__main__":
    main()
