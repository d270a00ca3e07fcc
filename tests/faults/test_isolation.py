"""A text that the model fails on harms nobody but its caller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc
import pytest
from google.rpc.status_pb2 import Status
from valence.v1 import sentiment_pb2 as pb

from tests.faults.answers import Answers
from tests.faults.callers import is_serving, outcome, stubs
from tests.faults.misbehaving import ONE_TOO_FEW, RAISES, SECRET
from tests.faults.running import MISBEHAVING, Running, running
from tests.support.errors import Told, told
from tests.support.waiting import until

POISON = f"the film was {RAISES}"
CALLERS = 64


@pytest.fixture(scope="module")
def poisonable(model: tuple[str, ...]) -> Iterator[Running]:
    """One worker: what comes together is computed together."""
    with running(*model, "--workers", "1", python=MISBEHAVING) as started:
        yield started


def check_model_failed(status: Status) -> None:
    said = Told(status)
    assert (said.code, said.reason) == (grpc.StatusCode.INTERNAL.value[0], "MODEL_FAILED")
    assert said.info.metadata["id"] in said.message
    assert SECRET.encode() not in status.SerializeToString()


async def test_a_text_that_the_model_fails_on_fails_alone_among_callers(
    poisonable: Running, answers: Answers
) -> None:
    async def caller(number: int) -> None:
        for step in range(8):
            text = POISON if number % 4 == 0 else answers.text(8 * number + step)
            response = await outcome(
                callers[number % 4].Classify(pb.ClassifyRequest(text=text), timeout=60)
            )
            if text is POISON:
                assert isinstance(response, grpc.aio.AioRpcError)
                trailers = response.trailing_metadata()
                assert SECRET not in f"{response.details()} {trailers}"
                check_model_failed(Status.FromString(dict(trailers)["grpc-status-details-bin"]))
                assert told(response).reason == "MODEL_FAILED"
            else:
                assert isinstance(response, pb.ClassifyResponse)
                answers.check(text, response.sentiment)

    async with stubs(poisonable.address, 4) as callers:
        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    # The log tells why, if the answers do not.
    await until(lambda: any(SECRET in line for line in poisonable.log.copy()))
    assert await is_serving(poisonable.address)


async def test_a_text_that_the_model_fails_on_fails_alone_in_a_batch(
    poisonable: Running, answers: Answers
) -> None:
    texts = [POISON if number in {0, 13, 14, 63} else answers.text(number) for number in range(64)]
    async with stubs(poisonable.address, 1) as (caller,):
        response = await caller.BatchClassify(pb.BatchClassifyRequest(texts=texts), timeout=60)
    for text, result in zip(texts, response.results, strict=True):
        if text is POISON:
            check_model_failed(result.error)
        else:
            answers.check(text, result.sentiment)


@pytest.mark.parametrize("order", [pb.ORDER_REQUEST, pb.ORDER_READY])
async def test_a_text_that_the_model_fails_on_fails_alone_in_a_stream(
    poisonable: Running, answers: Answers, order: pb.Order.ValueType
) -> None:
    texts = {
        str(number): POISON if number % 50 == 7 else answers.text(number) for number in range(500)
    }
    options = pb.StreamOptions(order=order)
    requests = [
        pb.StreamClassifyRequest(id=number, text=text, options=options)
        for number, text in texts.items()
    ]
    async with stubs(poisonable.address, 1) as (caller,), asyncio.timeout(60):
        responses = [response async for response in caller.StreamClassify(iter(requests))]
    ids = [response.id for response in responses]
    assert (ids if order == pb.ORDER_REQUEST else sorted(ids, key=int)) == list(texts)
    for response in responses:
        if texts[response.id] is POISON:
            check_model_failed(response.error)
        else:
            answers.check(texts[response.id], response.sentiment)


async def test_a_wrong_number_of_results_fails_its_batch_and_shifts_no_answer(
    poisonable: Running, answers: Answers
) -> None:
    texts = [answers.text(number) for number in range(8)]
    few = f"good {ONE_TOO_FEW}"
    lossy = [*texts[:3], few, *texts[3:]]
    async with stubs(poisonable.address, 1) as (caller,):
        failed = await caller.BatchClassify(pb.BatchClassifyRequest(texts=lossy), timeout=60)
        after = await caller.BatchClassify(pb.BatchClassifyRequest(texts=texts), timeout=60)
    told_failed = [
        text
        for text, result in zip(lossy, failed.results, strict=True)
        if result.WhichOneof("result") == "error"
    ]
    assert few in told_failed
    # Whoever was computed with it, and nobody else: a call's texts need not be in one batch.
    said = f"{len(told_failed) - 1} results for {len(told_failed)} texts"
    await until(lambda: any(said in line for line in poisonable.log.copy()))
    for text, result in zip(lossy, failed.results, strict=True):
        if text in told_failed:
            check_model_failed(result.error)
        else:
            answers.check(text, result.sentiment)
    for text, result in zip(texts, after.results, strict=True):
        answers.check(text, result.sentiment)
    assert await is_serving(poisonable.address)
