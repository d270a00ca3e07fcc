"""Measure the cost of telemetry, and print a table: ``python -m bench.telemetry``.

The same server runs with and without telemetry. All are started at once and take short turns, so
that a slow spell of the machine meets all of them. Each round compares every server with the two
that run without telemetry. The table has the median of these ratios, and the range in which 95% of
such medians lie. A scrape comes every five seconds, and spans go to a sink.
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

import psutil
import valence_model
from tokenizers import Tokenizer

from bench import load, texts
from bench.subjects import Running, free_port, running, subjects

CALLERS = 64
PLAIN = ("nothing", "nothing, again")
SCRAPE_SECONDS = 5.0


class _Sink(BaseHTTPRequestHandler):
    """A receiver of spans by OTLP that drops them."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def sink() -> Iterator[str]:
    """Run a receiver of spans, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Sink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def scraped(url: str | None) -> Iterator[None]:
    """Scrape the metrics every few seconds."""
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
    """Measure, and print a line for each kind of telemetry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1, help="of each load")
    arguments = parser.parse_args()
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
                    # The processor time includes the warm-up, which is half as long.
                    texts_asked = got.texts_per_second * arguments.seconds * 1.5
                    costs[name].append(used / texts_asked * 1e3)
    table("texts/s", rates)
    # This is the steadier of the two on a machine with other work.
    table("CPU ms a text", costs)


def cpu_seconds(server: Running) -> float:
    """Return the processor time that the server has used."""
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


def table(what: str, measured: dict[str, list[float]]) -> None:
    """Print a line for each server: its median, and its ratio to those without telemetry."""
    plain = [
        statistics.fmean(pair) for pair in zip(*(measured[name] for name in PLAIN), strict=True)
    ]
    print(f"{what:22}{'median':>9}{'ratio':>9}{'95% of medians':>18}")
    for name, values in measured.items():
        ratios = sorted(value / beside for value, beside in zip(values, plain, strict=True))
        # By ranks, which assumes nothing about the distribution of the ratios.
        reach = 1.96 * math.sqrt(len(ratios))
        low = ratios[max(0, math.floor((len(ratios) - reach) / 2))]
        high = ratios[min(len(ratios) - 1, math.ceil((len(ratios) + reach) / 2))]
        print(
            f"{name:22}{statistics.median(values):9.3g}{statistics.median(ratios):9.1%}"
            f"{f'{low:.1%} to {high:.1%}':>18}"
        )


if __name__ == "__main__":
    main()
