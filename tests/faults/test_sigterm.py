"""SIGTERM at full load, again and again: every accepted call is answered or told UNAVAILABLE."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from typing import TypeAlias

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.faults.answers import Answers
from tests.faults.callers import outcome, stubs
from tests.faults.running import Running, running
from tests.support.stubs import async_stub

# How full the queue is when the signal comes depends on the moment.
SEEDS = range(10)
CALLERS = 64
BATCH_CALLERS = 8
BATCH_TEXTS = 16
GRACE_SECONDS = 20
PATIENCE_SECONDS = 60
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Stub: TypeAlias = "sentiment_pb2_grpc.SentimentServiceAsyncStub"


def unavailable(got: object) -> bool:
    """Whether a call was told that the server ends; nothing else but an answer is right."""
    if isinstance(got, grpc.aio.AioRpcError):
        assert got.code() is grpc.StatusCode.UNAVAILABLE, got
        return True
    return False


async def ask_singly(stub: Stub, answers: Answers, number: int, answered: asyncio.Event) -> None:
    for text in map(answers.text, itertools.count(number)):
        got = await outcome(stub.Classify(pb.ClassifyRequest(text=text)))
        if unavailable(got):
            return
        assert isinstance(got, pb.ClassifyResponse)
        answers.check(text, got.sentiment)
        answered.set()


async def ask_batches(stub: Stub, answers: Answers, number: int) -> None:
    for first in itertools.count(number):
        texts = [answers.text(first + step) for step in range(BATCH_TEXTS)]
        got = await outcome(stub.BatchClassify(pb.BatchClassifyRequest(texts=texts)))
        if unavailable(got):
            return
        assert isinstance(got, pb.BatchClassifyResponse)
        for text, result in zip(texts, got.results, strict=True):
            if result.HasField("error"):
                assert result.error.code == grpc.StatusCode.UNAVAILABLE.value[0], result
            else:
                answers.check(text, result.sentiment)


def stream_texts(address: str, answers: Answers) -> grpc.StatusCode:
    """What a stream without an end ends with; every answer must be the next one, and right."""

    def requests() -> Iterator[pb.StreamClassifyRequest]:
        for number in itertools.count():
            yield pb.StreamClassifyRequest(id=str(number), text=answers.text(number))

    # Of the two stacks the one in threads: grpc.aio's client says INTERNAL where the end meets a
    # write under way.
    with grpc.insecure_channel(address) as channel:
        call = sentiment_pb2_grpc.SentimentServiceStub(channel).StreamClassify(requests())
        try:
            for number, response in enumerate(call):
                assert response.id == str(number)
                answers.check(answers.text(number), response.sentiment)
        except grpc.RpcError:
            return call.code()
    return grpc.StatusCode.OK


async def ended(server: Running) -> tuple[int, float]:
    """The exit code, and seconds from SIGTERM to it."""
    began = time.monotonic()
    code = await asyncio.to_thread(server.server.end, timeout_seconds=PATIENCE_SECONDS)
    return code, time.monotonic() - began


@pytest.mark.full
@pytest.mark.parametrize("seed", SEEDS)
async def test_sigterm_at_full_load_loses_no_call(
    model: tuple[str, ...], answers: Answers, seed: int
) -> None:
    moment_seconds = random.Random(seed).uniform(0, 0.3)  # noqa: S311  no secret
    answered = asyncio.Event()
    with running(*model, "--grace-seconds", str(GRACE_SECONDS)) as server:
        async with (
            stubs(server.address, 4) as callers,
            grpc.aio.insecure_channel(server.address) as channel,
            asyncio.timeout(PATIENCE_SECONDS),
            asyncio.TaskGroup() as tasks,
        ):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            for number in range(CALLERS):
                stub = callers[number % len(callers)]
                tasks.create_task(ask_singly(stub, answers, number, answered))
            for number in range(BATCH_CALLERS):
                tasks.create_task(ask_batches(async_stub(channel), answers, number))
            streaming = asyncio.create_task(
                asyncio.to_thread(stream_texts, server.address, answers)
            )
            await answered.wait()
            await asyncio.sleep(moment_seconds)  # not for anything: the moment is what varies
            ending = tasks.create_task(ended(server))
            assert (await watch.read()).status == NOT_SERVING
            assert await streaming is grpc.StatusCode.UNAVAILABLE
            code, seconds = await ending
            assert code == 0
            assert seconds < GRACE_SECONDS
            assert await watch.code() is grpc.StatusCode.UNAVAILABLE
