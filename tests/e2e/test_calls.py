"""The service as a process: right answers, alone and among others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
import transformers
import valence_model
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2 as pb

from tests.support.errors import Told
from tests.support.models import TEXTS
from tests.support.server import Server, serving
from tests.support.stubs import async_stub

# Many times what may be on its way at once. What streams leave behind: faults/test_memory.py.
STREAM_TEXTS = 2_000


def pipeline_scores(model: str, texts: list[str]) -> list[dict[str, float]]:
    pipeline: Any = transformers.pipeline("sentiment-analysis", model=model, device="cpu")
    return [
        {item["label"]: item["score"] for item in result}
        for result in pipeline(texts, top_k=None, truncation=True)
    ]


def scores(sentiment: pb.Sentiment) -> dict[str, float]:
    return {score.label: score.score for score in sentiment.scores}


async def test_the_embedded_model_reads_people(embedded: Server) -> None:
    async with grpc.aio.insecure_channel(embedded.address) as channel:
        stub = async_stub(channel)
        good = await stub.Classify(pb.ClassifyRequest(text="I loved every minute of it"))
        bad = await stub.Classify(
            pb.ClassifyRequest(text="What a waste of money and of an evening.")
        )
    assert (good.sentiment.label, bad.sentiment.label) == ("POSITIVE", "NEGATIVE")
    assert good.sentiment.polarity == pb.POLARITY_POSITIVE
    assert good.sentiment.model.name == Path(valence_model.path()).name


@pytest.mark.parametrize("callers", [64])
async def test_a_crowd_is_answered_right(tiny: Server, two_labels: str, callers: int) -> None:
    texts = [f"{text} {word}" for text in TEXTS for word in ("good", "bad", "not", "the film")]
    expected = dict(zip(texts, pipeline_scores(two_labels, texts), strict=True))

    async def caller(number: int) -> None:
        for step in range(8):
            text = texts[(number * 7 + step * 5) % len(texts)]
            response = await stub.Classify(pb.ClassifyRequest(text=text))
            assert scores(response.sentiment) == pytest.approx(expected[text], abs=1e-3)

    async with grpc.aio.insecure_channel(tiny.address) as channel:
        stub = async_stub(channel)
        await asyncio.gather(*(caller(number) for number in range(callers)))


async def test_a_long_stream_loses_nothing(tiny: Server) -> None:
    texts = [f"{TEXTS[n % 3]} {n}" if n % 100 else " " for n in range(STREAM_TEXTS)]

    async def requests() -> Any:
        for number, text in enumerate(texts):
            yield pb.StreamClassifyRequest(id=str(number), text=text)

    ids, bad = [], []
    async with grpc.aio.insecure_channel(tiny.address) as channel:
        async for response in async_stub(channel).StreamClassify(requests()):
            ids.append(response.id)
            if response.HasField("error"):
                assert Told(response.error).fields == ["text"]
                bad.append(response.id)
    assert ids == [str(number) for number in range(STREAM_TEXTS)]
    assert bad == [str(number) for number in range(0, STREAM_TEXTS, 100)]


async def test_health_answers_beside_a_long_batch(embedded: Server) -> None:
    async with grpc.aio.insecure_channel(embedded.address) as channel:
        batch = async_stub(channel).BatchClassify(
            pb.BatchClassifyRequest(texts=["word " * 300] * 16)
        )
        stub = health_pb2_grpc.HealthStub(channel)
        checks = 0
        while not batch.done():
            response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            assert response.status == health_pb2.HealthCheckResponse.SERVING
            checks += 1
        assert len((await batch).results) == 16
    assert checks > 1


@pytest.mark.full
async def test_the_pipeline_engine_serves_too(two_labels: str) -> None:
    (expected,) = pipeline_scores(two_labels, ["The film was great."])
    with serving("--model", two_labels, "--engine", "pipeline", "--no-self-check") as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = async_stub(channel)
            response = await stub.Classify(pb.ClassifyRequest(text="The film was great."))
            about = (await stub.GetModel(pb.GetModelRequest())).model
    assert scores(response.sentiment) == pytest.approx(expected, abs=1e-3)
    assert (about.engine, about.precision, about.engine_reason) == (
        "pipeline",
        "f32",
        "f32: the reference",
    )
