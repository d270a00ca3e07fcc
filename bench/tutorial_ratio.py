"""Texts per second under many unary callers, beside the tutorial's app: ``make bench``.

Both serve the embedded model in processes of their own and are loaded in turn, round by round, so
that a slow spell of the machine meets both. The load generator shares the machine with them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import aiohttp
import grpc
import valence_model
from tqdm import tqdm
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

HERE = Path(__file__).parent
START_SECONDS = 120
SUBJECTS = ("the soup", "our room", "this phone", "the ending", "her new book", "the staff")
VERBS = ("was", "seemed", "turned out", "felt", "looked")
ADVERBS = ("surprisingly", "rather", "not at all", "quite", "hardly", "very")
ADJECTIVES = ("good", "slow", "charming", "broken", "honest", "dull", "fresh", "overpriced")
TAILS = ("and I would go again", "but nobody cared", "so we left early", "and that is all I ask")

Classify = Callable[[str], Awaitable[str]]


def texts(count: int) -> list[str]:
    """Sentences of about 23 tokens, made of a few words and a fixed seed."""
    draw = random.Random(23)

    def clause() -> str:
        return " ".join(draw.choice(words) for words in (SUBJECTS, VERBS, ADVERBS, ADJECTIVES))

    return [f"{clause()}, {clause()}, {clause()} {draw.choice(TAILS)}." for _ in range(count)]


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A server that is ended with the block."""
    server = subprocess.Popen(
        command, env=os.environ | environment, stderr=subprocess.PIPE, text=True, cwd=HERE
    )
    try:
        yield server
    finally:
        server.terminate()
        server.wait(30)


def said(server: subprocess.Popen[str], word: str) -> str:
    """The first line of the server's log that has the word."""
    assert server.stderr is not None
    return next(line for line in server.stderr if word in line)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def rate(classify: Classify, batch: list[str], callers: int) -> tuple[float, float]:
    """Texts per second, and the median wait in seconds, with so many callers at once."""
    waits: list[float] = []
    waiting = iter(batch)

    async def caller() -> None:
        for text in waiting:
            began = time.perf_counter()
            assert await classify(text) in ("POSITIVE", "NEGATIVE")
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return len(batch) / (time.perf_counter() - began), statistics.median(waits)


async def compare(valence: str, tutorial: str, *, callers: int, rounds: int, count: int) -> None:
    """Run the rounds and print the table."""
    results: dict[str, list[tuple[float, float]]] = {"tutorial": [], "valence": []}
    batch = texts(count)
    async with (
        grpc.aio.insecure_channel(valence) as channel,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=callers)) as session,
    ):
        stub = cast(
            "sentiment_pb2_grpc.SentimentServiceAsyncStub",
            sentiment_pb2_grpc.SentimentServiceStub(channel),
        )

        async def by_grpc(text: str) -> str:
            response = await stub.Classify(pb.ClassifyRequest(text=text))
            return str(response.sentiment.label)

        async def by_http(text: str) -> str:
            async with session.post(f"{tutorial}/classify", json={"text": text}) as response:
                return str((await response.json())["label"])

        ways: dict[str, Classify] = {"tutorial": by_http, "valence": by_grpc}
        for classify in ways.values():
            await rate(classify, batch[: 2 * callers], callers)
        with tqdm(total=rounds * len(ways), unit="run") as bar:
            for _ in range(rounds):
                for name, classify in ways.items():
                    bar.set_description(name)
                    results[name].append(await rate(classify, batch, callers))
                    bar.update()
    print(f"{callers} unary callers, {count} texts a run, {rounds} runs each, in turn\n")
    print("| service | texts/s, median | least | most | wait, median |")
    print("|---|---|---|---|---|")
    for name, runs in results.items():
        rates = [texts_per_second for texts_per_second, _ in runs]
        wait = statistics.median(seconds for _, seconds in runs)
        print(
            f"| {name} | {statistics.median(rates):.0f} | {min(rates):.0f} | {max(rates):.0f} "
            f"| {wait * 1e3:.0f} ms |"
        )
    ratio = statistics.median(rate for rate, _ in results["valence"]) / statistics.median(
        rate for rate, _ in results["tutorial"]
    )
    print(f"\nvalence / tutorial: {ratio:.2f}")


def main() -> None:
    """Start both, compare, end both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=768, help="texts in a run")
    arguments = parser.parse_args()
    port = str(free_port())
    uvicorn = (
        sys.executable,
        "-m",
        "uvicorn",
        "tutorial_app:app",
        "--port",
        port,
        "--no-access-log",
    )
    serve = (sys.executable, "-m", "valence_service", "--port", "0")
    with (
        process(*uvicorn, MODEL=valence_model.path()) as tutorial,
        process(*serve) as valence,
    ):
        said(tutorial, "Uvicorn running")
        address = json.loads(said(valence, "SERVING"))["address"]
        asyncio.run(
            compare(
                address,
                f"http://127.0.0.1:{port}",
                callers=arguments.callers,
                rounds=arguments.rounds,
                count=arguments.texts,
            )
        )


if __name__ == "__main__":
    main()
