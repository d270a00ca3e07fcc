"""Callers who leave: none of them is in the way of another, and nothing of them stays."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.faults.answers import Answers
from tests.faults.callers import HttpStub, check_all_is_well, http_stubs, outcome, stubs
from tests.faults.growth import check_nothing_adds_up
from tests.faults.running import Running, running
from tests.support.server import environment
from tests.support.waiting import until

# In a round. What calls leave behind shows after some hundreds. That none is answered wrong depends
# on the moments at which others leave, and the full tier has more of these.
CALLS = [500, pytest.param(3_000, marks=pytest.mark.full)]
CALLERS = 256
# Of the time that an answer takes under this load, on this machine: some are cancelled on the way,
# some in the queue, some while they are computed, and some come too late.
CANCEL_WITHIN = 1.5
# More than the queue holds and than may be under way, on ten connections.
OPEN_CALLS = [2_000, pytest.param(5_000, marks=pytest.mark.full)]
# Of a call that is kept, grpc's core has kilobytes.
LEFT_BYTES = 500
PATIENCE_SECONDS = 180

Stubs: TypeAlias = "Sequence[sentiment_pb2_grpc.SentimentServiceAsyncStub | HttpStub]"


def has_left(got: object) -> bool:
    """Whether a call ended by its own caller's cancelling it."""
    if isinstance(got, grpc.aio.AioRpcError):
        return got.code() is grpc.StatusCode.CANCELLED
    return got is None


async def half_cancelled(stubs: Stubs, answers: Answers, *, calls: int, seed: int) -> Counter[str]:
    """Calls of which each second one is cancelled at some moment; how many got what."""
    chance = random.Random(seed)  # noqa: S311  no secret
    numbers = iter(range(calls))
    got: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    answer_seconds = 0.0

    async def caller() -> None:
        nonlocal answer_seconds
        for number in numbers:
            began = loop.time()
            text = answers.text(number)
            call = stubs[number % len(stubs)].Classify(pb.ClassifyRequest(text=text))
            leaves = number % 2 == 1
            if leaves:
                moment = chance.uniform(0, CANCEL_WITHIN * answer_seconds)
                loop.call_later(moment, call.cancel)
            response = await outcome(call)
            if isinstance(response, pb.ClassifyResponse):
                answers.check(text, response.sentiment)
                got["in time" if leaves else "answered"] += 1
                answer_seconds = loop.time() - began
            else:
                assert leaves, response
                assert has_left(response), response
                got["cancelled"] += 1

    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return got


@pytest.mark.parametrize("count", CALLS)
async def test_half_of_the_callers_leave_and_the_others_are_all_answered_right(
    server: Running, answers: Answers, count: int
) -> None:
    async with stubs(server.address, 4) as callers:
        await check_half_leave(server, callers, answers, count)


@pytest.mark.full
async def test_half_of_the_callers_leave_over_http(server: Running, answers: Answers) -> None:
    async with http_stubs(server.http, 4) as callers:
        await check_half_leave(server, callers, answers, 500)


async def check_half_leave(server: Running, callers: Stubs, answers: Answers, count: int) -> None:
    """Calls of which half are cancelled, in rounds: the others are right, and nothing is left."""

    async def one_round() -> None:
        got = await half_cancelled(callers, answers, calls=count, seed=next(seeds))
        assert got["answered"] == count / 2
        assert got["cancelled"] > count / 10, got
        await check_all_is_well(server, answers)

    seeds = itertools.count()
    await check_nothing_adds_up(server, one_round, times=count, each_bytes=LEFT_BYTES)


@pytest.mark.parametrize("count", OPEN_CALLS)
async def test_calls_that_are_opened_and_all_cancelled(
    server: Running, answers: Answers, count: int
) -> None:
    async def open_and_cancel() -> None:
        # More on one connection would wait at the caller.
        async with stubs(server.address, 10) as callers, asyncio.timeout(PATIENCE_SECONDS):
            calls = [
                callers[number % 10].Classify(pb.ClassifyRequest(text=answers.text(number)))
                for number in range(count)
            ]
            # One of them has been dealt with, so others are under way.
            await asyncio.wait(
                [asyncio.ensure_future(outcome(call)) for call in calls[:10]],
                return_when=asyncio.FIRST_COMPLETED,
            )
            for call in calls:
                call.cancel()
            for got in await asyncio.gather(*(outcome(call) for call in calls)):
                overloaded = (
                    isinstance(got, grpc.aio.AioRpcError)
                    and got.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                )
                assert overloaded or has_left(got) or isinstance(got, pb.ClassifyResponse), got

        await check_all_is_well(server, answers)

    await check_nothing_adds_up(server, open_and_cancel, times=count, each_bytes=LEFT_BYTES)


STREAM_FOR_EVER = """
import itertools, sys
import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc
texts = (pb.StreamClassifyRequest(id=str(n), text="the film was good") for n in itertools.count())
with grpc.insecure_channel(sys.argv[1]) as channel:
    for response in sentiment_pb2_grpc.SentimentServiceStub(channel).StreamClassify(texts):
        print(response.id, flush=True)
"""


@pytest.mark.full
async def test_clients_that_are_killed_in_the_middle_of_a_stream(
    model: tuple[str, ...], answers: Answers
) -> None:
    with running(*model) as server:
        before = len(server.process.net_connections())
        script = (sys.executable, "-c", STREAM_FOR_EVER, server.address)
        clients = [
            await asyncio.create_subprocess_exec(*script, stdout=PIPE, env=environment())
            for _ in range(4)
        ]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for client in clients:
                    assert client.stdout is not None
                    assert await client.stdout.readline() == b"0\n"
            assert len(server.process.net_connections()) == before + len(clients)
        finally:
            for client in clients:
                client.kill()
                await client.communicate()
        await until(lambda: len(server.process.net_connections()) == before)
        await check_all_is_well(server, answers)
        assert await asyncio.to_thread(server.server.end) == 0
