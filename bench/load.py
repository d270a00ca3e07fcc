"""Load: h2load for single calls by gRPC and HTTP alike, our own client for a stream."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
from subjects import Running
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

GRPC_HEADERS = ("content-type: application/grpc", "te: trailers")
HTTP_HEADERS = ("content-type: application/json",)
PERCENTILES = (50, 90, 99)
# A refusal by gRPC is a 200 whose status stands in the trailers: it has no data. An answer has
# about 130 bytes, so that one refusal in four shows in their mean.
LEAST_ANSWER_BYTES = {"grpc": 100, "http": 30}


@dataclass(frozen=True)
class Load:
    """What a load got from a server."""

    texts_per_second: float
    wait_ms: dict[int, float]
    """Milliseconds from a request to its answer, by percentile."""


def need_h2load() -> None:
    """End with advice where h2load is missing."""
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is missing: apt-get install nghttp2-client, or your system's way")


def unary(server: Running, texts: list[str], *, callers: int, seconds: float) -> Load:
    """Callers who each send a text and wait for its answer, again and again.

    They are shared out to a process for each text, and none counts in its first third.
    """
    shares = [callers // len(texts) + (n < callers % len(texts)) for n in range(len(texts))]
    grpc_calls = server.subject.protocol == "grpc"
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for number, (text, share) in enumerate(zip(texts, shares, strict=True)):
            if share == 0:
                continue
            body = Path(folder, f"{number}.body")
            body.write_bytes(server.subject.payload(text))
            # gRPC's callers share a connection, as those of one client do; HTTP/1.1's cannot.
            connections = ("-c1", f"-m{share}") if grpc_calls else ("--h1", f"-c{share}")
            headers = GRPC_HEADERS if grpc_calls else HTTP_HEADERS
            command = [
                "h2load",
                *connections,
                f"-D{seconds * 1000:.0f}ms",
                f"--warm-up-time={seconds * 500:.0f}ms",
                *(part for header in headers for part in ("-H", header)),
                f"--data={body}",
                f"--log-file={body.with_suffix('.log')}",
                f"http://127.0.0.1:{server.port}{server.subject.path}",
            ]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        least_bytes = LEAST_ANSWER_BYTES[server.subject.protocol]
        rate = sum(_rate(process.communicate()[0], least_bytes) for process in processes)
        waits = sorted(
            int(line.split("\t")[2]) / 1e3
            for log in Path(folder).glob("*.log")
            for line in log.read_text().splitlines()
        )
    # A slow server may answer none of those who came after the warm-up.
    percentiles = PERCENTILES if waits else ()
    return Load(rate, {p: waits[min(len(waits) - 1, len(waits) * p // 100)] for p in percentiles})


def _rate(printed: str, least_bytes: int) -> float:
    """Requests a second, of a run in which none failed and none to speak of was refused."""
    finished = next(line for line in printed.splitlines() if line.startswith("finished in"))
    counts = next(line for line in printed.splitlines() if line.startswith("requests:"))
    failed, errored = (
        int(counts.split(f" {word}")[0].split()[-1]) for word in ("failed", "errored")
    )
    traffic = next(line for line in printed.splitlines() if line.startswith("traffic:"))
    data = int(traffic.rsplit("(", 1)[1].split(")")[0])
    if failed or errored or data < int(counts.split()[1]) * least_bytes:
        raise SystemExit(f"h2load: {counts}; {traffic}")
    return float(finished.split(",")[1].split()[0])


def stream(server: Running, texts: list[str], *, seconds: float) -> float:
    """Texts a second through one stream, its first third not counted."""
    return asyncio.run(_stream(f"127.0.0.1:{server.port}", texts, seconds))


async def _stream(address: str, texts: list[str], seconds: float) -> float:
    counted_from = time.perf_counter() + seconds / 2
    ends = counted_from + seconds

    async def requests() -> AsyncIterator[pb.StreamClassifyRequest]:
        number = 0
        while time.perf_counter() < ends:
            yield pb.StreamClassifyRequest(id=str(number), text=texts[number % len(texts)])
            number += 1

    answered = 0
    async with grpc.aio.insecure_channel(address) as channel:
        stub = cast(
            "sentiment_pb2_grpc.SentimentServiceAsyncStub",
            sentiment_pb2_grpc.SentimentServiceStub(channel),
        )
        async for response in stub.StreamClassify(requests()):
            if response.HasField("error"):
                raise SystemExit(f"a text of the stream failed: {response.error.message}")
            answered += counted_from <= time.perf_counter() < ends
    return answered / seconds
