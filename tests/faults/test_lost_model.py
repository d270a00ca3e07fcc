"""A model that hangs, and a replica that breaks: health tells, and nobody waits in vain."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc as pb_grpc
from valence_service.scheduler.canary import CANARY

from tests.faults.answers import Answers
from tests.faults.callers import outcome, stubs
from tests.faults.misbehaving import BREAKS, HANGS
from tests.faults.running import MISBEHAVING, Running, running
from tests.support.errors import told
from tests.support.server import launched
from tests.support.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
CALLERS = 16
PATIENCE_SECONDS = 60


CANNOT_REPLACE = {"CANNOT_REPLACE": "1"}


def check_unhealthy(error: object) -> None:
    assert isinstance(error, grpc.aio.AioRpcError)
    assert (error.code(), told(error).reason) == (grpc.StatusCode.UNAVAILABLE, "UNHEALTHY")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.full)])
async def test_a_model_that_hangs_is_given_up_and_its_callers_are_told(
    model: tuple[str, ...], answers: Answers, workers: int
) -> None:
    flags = ("--workers", str(workers), "--hang-seconds", "4")
    with running(*model, *flags, python=MISBEHAVING, env=CANNOT_REPLACE) as server:
        async with (
            stubs(server.address, 2) as (one, other),
            grpc.aio.insecure_channel(server.address) as channel,
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            response = await one.Classify(pb.ClassifyRequest(text=answers.text(0)))
            answers.check(answers.text(0), response.sentiment)
            hangs = [one.Classify(pb.ClassifyRequest(text=HANGS)) for _ in range(workers)]
            behind = [one.Classify(pb.ClassifyRequest(text=HANGS)) for _ in range(CALLERS)]
            assert (await watch.read()).status == NOT_SERVING
            for call in (*hangs, *behind):
                check_unhealthy(await outcome(call))
            check_unhealthy(await outcome(other.Classify(pb.ClassifyRequest(text="good"))))
            assert await asyncio.to_thread(server.server.process.wait, PATIENCE_SECONDS) == 1
    assert any("the model no longer answers" in line for line in server.log)


@pytest.mark.full
async def test_a_lone_replica_that_hangs_is_replaced(
    model: tuple[str, ...], answers: Answers
) -> None:
    flags = ("--workers", "1", "--hang-seconds", "20")
    with running(*model, *flags, python=MISBEHAVING) as server:
        async with (
            stubs(server.address, 1) as (caller,),
            grpc.aio.insecure_channel(server.address) as channel,
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            check_unhealthy(await outcome(caller.Classify(pb.ClassifyRequest(text=HANGS))))
            assert [(await watch.read()).status for _ in range(2)] == [NOT_SERVING, SERVING]
            response = await caller.Classify(pb.ClassifyRequest(text=answers.text(0)))
            answers.check(answers.text(0), response.sentiment)


@asynccontextmanager
async def two_replicas(
    model: tuple[str, ...], *flags: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Running, pb_grpc.SentimentServiceAsyncStub]]:
    """A server of two replicas, and a caller; health says SERVING all the time."""
    with running(*model, "--workers", "2", *flags, python=MISBEHAVING, env=env) as server:
        async with (
            stubs(server.address, 1) as (caller,),
            grpc.aio.insecure_channel(server.address) as channel,
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            changed = asyncio.ensure_future(watch.read())
            yield server, caller
            assert not changed.done()
            changed.cancel()


async def ask_among_callers(
    caller: pb_grpc.SentimentServiceAsyncStub, answers: Answers, text: str
) -> object:
    """What a text ends with, among callers who are all answered right until it does."""
    ended = asyncio.Event()
    began = asyncio.Event()

    async def call_until_ended(number: int) -> None:
        for other in map(answers.text, itertools.count(number)):
            response = await caller.Classify(pb.ClassifyRequest(text=other))
            answers.check(other, response.sentiment)
            began.set()
            if ended.is_set():
                return

    async with asyncio.TaskGroup() as tasks:
        for number in range(CALLERS):
            tasks.create_task(call_until_ended(number))
        await began.wait()
        response = await outcome(caller.Classify(pb.ClassifyRequest(text=text)))
        ended.set()
    return response


def logs(server: Running, event: str) -> Callable[[], bool]:
    return lambda: any(f'"event": "{event}"' in line for line in server.log.copy())


async def test_what_a_broken_replica_leaves_the_other_one_answers(
    model: tuple[str, ...], answers: Answers
) -> None:
    async with two_replicas(model) as (server, caller):
        response = await ask_among_callers(caller, answers, BREAKS)
        assert isinstance(response, pb.ClassifyResponse)
        await until(logs(server, "replica_broken"))
        for number in range(CALLERS):
            response = await caller.Classify(pb.ClassifyRequest(text=answers.text(number)))
            answers.check(answers.text(number), response.sentiment)


@pytest.mark.full
async def test_beside_a_replica_that_hangs_the_other_one_serves_on(
    model: tuple[str, ...], answers: Answers
) -> None:
    flags = ("--hang-seconds", "4", "--max-batch-texts", "1")
    async with two_replicas(model, *flags, env=CANNOT_REPLACE) as (server, caller):
        check_unhealthy(await ask_among_callers(caller, answers, HANGS))
        await until(logs(server, "replica_broken"))
        # Longer than the process used to live then.
        await until(logs(server, "degraded"))
        response = await caller.Classify(pb.ClassifyRequest(text=answers.text(0)))
        answers.check(answers.text(0), response.sentiment)


@pytest.mark.full
async def test_a_slow_model_does_not_fall_to_its_first_full_batch(
    model: tuple[str, ...], answers: Answers
) -> None:
    flags = ("--workers", "1", "--hang-seconds", "4", "--max-batch-tokens", "512")
    slow = {"SECONDS_PER_TEXT": "0.05"}  # some 3 for a full batch
    texts = [answers.text(number) for number in range(64)]
    with running(*model, *flags, python=MISBEHAVING, env=slow) as server:
        async with stubs(server.address, 1) as (caller,), asyncio.timeout(PATIENCE_SECONDS):
            response = await caller.BatchClassify(pb.BatchClassifyRequest(texts=texts))
    for text, result in zip(texts, response.results, strict=True):
        answers.check(text, result.sentiment)


@pytest.mark.full
def test_a_model_that_hangs_from_the_start_is_given_up(model: tuple[str, ...]) -> None:
    flags = (*model, "--hang-seconds", "2")
    with launched(*flags, python=MISBEHAVING, env={"HANGS_ON": CANARY}) as server:
        assert server.process.wait(PATIENCE_SECONDS) == 1
        assert "has not answered in 2 s; --hang-seconds" in "".join(server.lines())


def test_sigterm_does_not_wait_for_a_model_that_hangs_from_the_start(
    model: tuple[str, ...],
) -> None:
    with launched(*model, python=MISBEHAVING, env={"HANGS_ON": CANARY}) as server:
        server.event("hangs")
        assert server.end(timeout_seconds=PATIENCE_SECONDS) == 0
