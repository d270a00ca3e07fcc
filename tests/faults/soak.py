"""A soak: minutes of mixed traffic, some of it hostile, and then the count. ``make soak``.

Fails where anything was answered wrong or not at all, and where the server is not well at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import grpc
from tqdm import tqdm

from tests.faults import http2, soak_calls, soak_streams
from tests.faults.callers import is_serving, stubs
from tests.faults.mutations import clients, mutated
from tests.faults.running import MISBEHAVING, Running, running
from tests.faults.soak_calls import Soak
from tests.support import models

# None of what a caller does takes so long on a machine that is not lost itself.
LOST_SECONDS = 120.0
NO_LOOKAHEAD = {"http2.bdp_probe": 0, "http2.lookahead_bytes": 1 << 16}
WARM_PART = 0.2
Kind = Callable[[Soak], Awaitable[None]]


async def garbage(soak: Soak) -> None:
    data = soak.chance.randbytes(soak.chance.randrange(1, 300))
    preface = http2.PREFACE if soak.chance.random() < 0.5 else b""
    await http2.said(soak.address, preface + data)
    soak.ledger.got("garbage", "closed")
    await asyncio.sleep(soak_calls.PAUSE_SECONDS)


async def broken_http2(soak: Soak) -> None:
    spared = len(http2.PREFACE)
    broken = mutated(soak.chance.choice(clients()), soak.chance, spared_bytes=spared)
    await http2.said(soak.address, broken)
    soak.ledger.got("broken HTTP/2", "closed")
    await asyncio.sleep(soak_calls.PAUSE_SECONDS)


# How many callers of each kind there are.
CALLERS: dict[Kind, int] = {
    soak_calls.unary: 16,
    soak_calls.deadlines: 8,
    soak_calls.cancels: 8,
    soak_calls.invalid: 1,
    soak_calls.poison: 1,
    soak_calls.batch: 2,
    soak_streams.stream_in_order: 2,
    soak_streams.stream_when_ready: 2,
    soak_streams.slow_reader: 1,
    soak_streams.half_closed: 1,
    garbage: 1,
    broken_http2: 1,
}


async def caller(soak: Soak, kind: Kind, ends: float) -> None:
    """Does its thing again and again. What has no outcome in time is lost."""
    while time.monotonic() < ends:
        try:
            async with asyncio.timeout(LOST_SECONDS):
                await kind(soak)
        except TimeoutError:
            soak.ledger.got(kind.__name__, "LOST")
        except Exception as error:
            soak.ledger.got_wrong(kind.__name__, repr(error))
            await asyncio.sleep(0.1)  # a server that is gone is not asked in a tight loop


async def watch(server: Running, seconds: float) -> int:
    """Show the progress; the memory held after the warm-up, in bytes."""
    warm = 0
    began = time.monotonic()
    with tqdm(
        total=round(seconds, 1), unit="s", bar_format="{l_bar}{bar}| {n:.0f}/{total} s"
    ) as bar:
        while (passed := time.monotonic() - began) < seconds:
            if not warm and passed >= WARM_PART * seconds:
                warm = server.rss_bytes
            bar.update(passed - bar.n)
            await asyncio.sleep(min(1.0, seconds / 10))
        bar.update(seconds - bar.n)
    return warm


async def soaked(server: Running, seconds: float, seed: int) -> bool:
    """Run all callers for so long and print what came of it; whether all was well."""
    start = server.rss_bytes
    async with (
        stubs(server.address, 1) as (stub,),
        stubs(server.address, 1, **NO_LOOKAHEAD) as (slow_stub,),
    ):
        soak = Soak(server.address, stub, slow_stub, chance=random.Random(seed))  # noqa: S311
        await soak.learn([f"{text} {word}" for text in models.TEXTS for word in models.WORDS])
        ends = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch(server, seconds))
            for kind, count in CALLERS.items():
                for _ in range(count):
                    tasks.create_task(caller(soak, kind, ends))
    print(soak.ledger.table())
    for wrong in soak.ledger.wrong:
        print("wrong:", wrong)
    print(
        f"memory: {start / 1e6:.0f} MB at the start, {watching.result() / 1e6:.0f} MB warm, "
        f"{server.rss_bytes / 1e6:.0f} MB at the end"
    )
    try:
        serving = await is_serving(server.address)
    except grpc.aio.AioRpcError:
        serving = False
    print("health:", "SERVING" if serving else "NOT SERVING")
    return serving and soak.ledger.harmless


@contextlib.contextmanager
def flags(model: str) -> Iterator[tuple[str, ...]]:
    """Of the server: for the embedded model, or for a small one made on the spot."""
    if model == "embedded":
        yield ()
        return
    with tempfile.TemporaryDirectory() as folder:
        small = models.make_model(Path(folder, "tiny"), ["NEGATIVE", "POSITIVE"])
        yield ("--model", small, "--cache-dir", str(Path(folder, "cache")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--model", choices=["embedded", "tiny"], default="embedded")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with flags(options.model) as model, running(*model, python=MISBEHAVING) as server:
        well = asyncio.run(soaked(server, options.minutes * 60, options.seed))
        try:
            code = server.server.end()
        except subprocess.TimeoutExpired:
            code = None
    print("exit code:", code)
    if well and code == 0:
        return 0
    print("the end of the log:", *server.log, sep="\n", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
