"""A model that hangs, and a replica that breaks: health tells, and nobody waits in vain."""

from __future__ import annotations

import asyncio
import itertools

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2 as pb
from valence_service.engine.canary import CANARY

from tests.faults.answers import Answers
from tests.faults.callers import outcome, stubs
from tests.faults.misbehaving import BREAKS, HANGS
from tests.faults.running import MISBEHAVING, running
from tests.support.errors import told
from tests.support.server import launched

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
CALLERS = 16
PATIENCE_SECONDS = 60


def check_unhealthy(error: object) -> None:
    assert isinstance(error, grpc.aio.AioRpcError)
    assert (error.code(), told(error).reason) == (grpc.StatusCode.UNAVAILABLE, "UNHEALTHY")


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_model_that_hangs_is_given_up_and_its_callers_are_told(
    model: tuple[str, ...], answers: Answers, workers: int
) -> None:
    flags = ("--workers", str(workers), "--hang-seconds", "4")
    with running(*model, *flags, python=MISBEHAVING) as server:
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


async def answer_of_the_breaking_text(
    model: tuple[str, ...], answers: Answers
) -> pb.ClassifyResponse | None:
    """Of a text that breaks one of two replicas, among callers who are all answered right.

    Until health has told: then they are refused, for a balancer to send them elsewhere.
    """
    flags = ("--workers", "2", "--hang-seconds", str(2 * PATIENCE_SECONDS))
    with running(*model, *flags, python=MISBEHAVING) as server:
        async with (
            stubs(server.address, 2) as (one, other),
            grpc.aio.insecure_channel(server.address) as channel,
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            answered = asyncio.Event()

            async def caller(number: int) -> None:
                for text in map(answers.text, itertools.count(number)):
                    response = await outcome(other.Classify(pb.ClassifyRequest(text=text)))
                    if not isinstance(response, pb.ClassifyResponse):
                        check_unhealthy(response)
                        return
                    answers.check(text, response.sentiment)
                    answered.set()

            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            tasks = [asyncio.create_task(caller(number)) for number in range(CALLERS)]
            await answered.wait()
            response = await outcome(one.Classify(pb.ClassifyRequest(text=BREAKS)))
            assert (await watch.read()).status == NOT_SERVING
            await asyncio.gather(*tasks)
    assert any("replica_broken" in line for line in server.log)
    if isinstance(response, pb.ClassifyResponse):
        return response
    check_unhealthy(response)
    return None


async def test_what_a_broken_replica_leaves_the_other_one_answers(
    model: tuple[str, ...], answers: Answers
) -> None:
    for _ in range(3):  # the watch may happen to look in the very moment, and all are refused
        if await answer_of_the_breaking_text(model, answers) is not None:
            return
    pytest.fail("the other replica answers nothing")


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
