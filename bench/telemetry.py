"""What telemetry costs: ``python bench/telemetry.py``, a table out (needs h2load).

The same server with and without, all started at once and asked in short turns, so that a slow spell
of the machine meets all of them. Each round gives every server's part of what the two without
telemetry did in that round; the table has their median and between what 95% of such medians lie. A
scrape comes every five seconds, and spans go to a sink.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import load
import psutil
import texts
import valence_model
from subjects import Running, free_port, running, subjects
from tokenizers import Tokenizer

CALLERS = 64
PLAIN = ("nothing", "nothing, again")
SCRAPE_SECONDS = 5.0


class _Sink(BaseHTTPRequestHandler):
    """Takes spans by OTLP and forgets them."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def sink() -> Iterator[str]:
    """The address of a receiver of spans."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Sink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def scraped(url: str | None) -> Iterator[None]:
    """Asks for the metrics again and again."""
    done = threading.Event()

    def scrape() -> None:
        while url and not done.is_set():
            with urllib.request.urlopen(url) as response:
                assert b"valence_requests_total" in response.read()
            done.wait(SCRAPE_SECONDS)

    scraping = threading.Thread(target=scrape)
    scraping.start()
    try:
        yield
    finally:
        done.set()
        scraping.join()


def main() -> None:
    """Measure, and print a line for each way of telling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1, help="of each load")
    arguments = parser.parse_args()
    load.need_h2load()
    model = Path(valence_model.path()).resolve()
    asked = texts.short(Tokenizer.from_file(str(model / "tokenizer.json")))
    plain = subjects(model)[0]
    with ExitStack() as stack:
        spans = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(sink()),
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        }

        def start(*flags: str, **environment: str) -> Running:
            subject = dataclasses.replace(
                plain, command=plain.command + flags, environment=environment
            )
            return stack.enter_context(running(subject))

        port = str(free_port())
        servers = {
            **{name: start() for name in PLAIN},
            "metrics": start("--metrics-port", port),
            "traces, none sampled": start(**spans, OTEL_TRACES_SAMPLER_ARG="0"),
            "traces, 1 in 100": start(**spans, OTEL_TRACES_SAMPLER_ARG="0.01"),
            "traces, all": start(**spans, OTEL_TRACES_SAMPLER_ARG="1"),
        }
        rates: dict[str, list[float]] = {name: [] for name in servers}
        costs: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(arguments.rounds + 1):
            order = list(servers)[number % len(servers) :] + list(servers)[: number % len(servers)]
            for name in order:
                url = f"http://127.0.0.1:{port}/metrics" if name == "metrics" else None
                used = cpu_seconds(servers[name])
                with scraped(url):
                    got = load.unary(
                        servers[name], asked, callers=CALLERS, seconds=arguments.seconds
                    )
                if number:  # the first round warms up
                    used = cpu_seconds(servers[name]) - used
                    rates[name].append(got.texts_per_second)
                    # The load's warm-up, half as long, is in it.
                    texts_asked = got.texts_per_second * arguments.seconds * 1.5
                    costs[name].append(used / texts_asked * 1e3)
    table("texts/s", rates)
    # Where other work takes part of the machine, this is the steadier of the two.
    table("CPU ms a text", costs)


def cpu_seconds(server: Running) -> float:
    """What the server has used of the processor."""
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


def table(what: str, measured: dict[str, list[float]]) -> None:
    """A line for each server: its median, and its part of what those without telemetry have."""
    plain = [
        statistics.fmean(pair) for pair in zip(*(measured[name] for name in PLAIN), strict=True)
    ]
    print(f"{what:22}{'median':>9}{'part':>9}{'95% of medians':>18}")
    for name, values in measured.items():
        parts = sorted(value / beside for value, beside in zip(values, plain, strict=True))
        # By ranks, without supposing how the parts are spread.
        reach = 1.96 * math.sqrt(len(parts))
        low = parts[max(0, math.floor((len(parts) - reach) / 2))]
        high = parts[min(len(parts) - 1, math.ceil((len(parts) + reach) / 2))]
        print(
            f"{name:22}{statistics.median(values):9.3g}{statistics.median(parts):9.1%}"
            f"{f'{low:.1%} to {high:.1%}':>18}"
        )


if __name__ == "__main__":
    main()
