"""What is told of refusals, of failures, of texts that nobody waits for, and of what waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

import grpc
import pytest
from prometheus_client import generate_latest
from valence.v1 import sentiment_pb2 as pb
from valence_service.core.call import Telemetry
from valence_service.core.errors import REFUSALS, Draining, Starting, Unhealthy
from valence_service.telemetry.metrics import Metrics
from valence_service.transports.contract import METHODS

from tests.support.classifier import POISON
from tests.support.waiting import until
from tests.telemetry.scrape import Scrape
from tests.transports.grpc.conftest import QUEUE_TEXTS, Service, started, wordless

Call: TypeAlias = grpc.aio.UnaryUnaryCall[pb.ClassifyRequest, pb.ClassifyResponse]


@dataclass
class Told:
    """A service, and what it tells."""

    service: Service
    metrics: Metrics

    def value(self, name: str, /, **labels: str) -> float:
        text = generate_latest(self.metrics.registry).decode()
        return Scrape.read(text).value(name, **labels)

    async def code(self, call: grpc.aio.Call) -> str:
        return str((await call.code()).name)


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    running: list[Service] = []
    metrics = Metrics(
        methods=METHODS,
        refusals=REFUSALS,
        max_batch_texts=4,
        serving=lambda: running[0].readiness.serving,
        open_streams=lambda: running[0].sentiment.open_streams,
    )
    async with started(telemetry=Telemetry(metrics), observer=metrics) as service:
        running.append(service)
        metrics.open(service.batcher, service.classifier.info)
        yield Told(service, metrics)


def classify(told: Told, text: str, *, timeout: float | None = None) -> Call:
    return told.service.stub.Classify(pb.ClassifyRequest(text=text), timeout=timeout)


async def test_every_reason_to_refuse_has_a_series_from_the_start(told: Told) -> None:
    text = generate_latest(told.metrics.registry).decode()
    for reason in REFUSALS:
        assert f'valence_refusals_total{{reason="{reason}"}} 0.0' in text


async def test_a_full_queue_and_what_waits_in_it(told: Told) -> None:
    service = told.service
    service.classifier.hold()
    running = classify(told, "running")
    await service.classifier.started()
    batch = pb.BatchClassifyRequest(texts=["w"] * 4)
    waiting = [service.stub.BatchClassify(batch) for _ in range(QUEUE_TEXTS // 4)]
    await until(lambda: service.batcher.queued_texts == QUEUE_TEXTS)
    assert told.value("valence_queue_texts") == QUEUE_TEXTS
    assert told.value("valence_queue_max_texts") == QUEUE_TEXTS
    assert told.value("valence_queue_tokens") == 3 * QUEUE_TEXTS
    assert await told.code(classify(told, "one too many")) == "RESOURCE_EXHAUSTED"
    await until(lambda: told.value("valence_refusals_total", reason="queue_full") == 1)
    assert told.value("valence_refusals_total", reason="deadline") == 0
    service.classifier.release()
    await asyncio.gather(running, *waiting)
    assert told.value("valence_queue_texts") == 0
    assert told.value("valence_texts_total", outcome="answered") == QUEUE_TEXTS + 1
    assert told.value("valence_batch_fill_ratio_bucket", le="1.0") == QUEUE_TEXTS // 4 + 1
    assert told.value("valence_batch_texts_bucket", le="1.0") == 1
    assert told.value("valence_batch_texts_bucket", le="4.0") == QUEUE_TEXTS // 4 + 1


async def test_callers_who_leave_before_their_message_has_come(told: Told) -> None:
    leaving = [wordless(told.service) for _ in range(20)]
    late = [wordless(told.service, timeout=0.2) for _ in range(20)]
    # By the time a later call is answered, those have arrived.
    await told.service.stub.GetModel(pb.GetModelRequest())
    for call in leaving:
        call.cancel()
    assert [await told.code(call) for call in late] == ["DEADLINE_EXCEEDED"] * 20

    def gone() -> float:
        # A caller whose deadline passes may say that it goes before the server sees to it.
        return sum(
            told.value("valence_requests_total", code=code, method="Classify")
            for code in ("CANCELLED", "DEADLINE_EXCEEDED")
        )

    await until(lambda: gone() == 40)
    assert told.value("valence_refusals_total", reason="malformed_message") == 0


async def test_a_deadline_and_a_caller_who_leaves(told: Told) -> None:
    service = told.service

    def cut_off() -> list[float]:
        return [
            told.value("valence_requests_total", code=code, method="Classify")
            for code in ("CANCELLED", "DEADLINE_EXCEEDED")
        ]

    service.classifier.hold()
    running = classify(told, "running")
    await service.classifier.started()
    late, leaving = classify(told, "late", timeout=2), classify(told, "leaving")
    await until(lambda: service.batcher.queued_texts == 2)
    assert await told.code(late) == "DEADLINE_EXCEEDED"
    await until(lambda: service.batcher.queued_texts == 1)
    leaving.cancel()
    await until(lambda: service.batcher.queued_texts == 0)
    running.cancel()
    await until(lambda: sum(cut_off()) == 3)
    service.classifier.release()
    await classify(told, "next")
    dropped, wasted = (
        told.value("valence_texts_total", outcome=outcome) for outcome in ("dropped", "wasted")
    )
    assert (dropped, wasted) == (2, 1)
    # Whose clock ends a call first, the client's or the server's, is not ours to say.
    assert cut_off() in ([2, 1], [3, 0])


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Draining("the end"), "draining"),
        (Unhealthy("not well"), "unhealthy"),
        (Starting("not yet"), "starting"),
    ],
)
async def test_a_service_that_takes_no_calls(
    told: Told, refusal: Draining | Unhealthy | Starting, reason: str
) -> None:
    told.service.sentiment.refuse(refusal)
    assert await told.code(classify(told, "good")) == "UNAVAILABLE"
    await until(lambda: told.value("valence_refusals_total", reason=reason) == 1)
    ended = {"code": "UNAVAILABLE", "method": "Classify"}
    await until(lambda: told.value("valence_requests_total", **ended) == 1)


async def test_a_text_that_the_model_fails_on_is_no_refusal(told: Told) -> None:
    batch = pb.BatchClassifyRequest(texts=["good", POISON])
    await told.service.stub.BatchClassify(batch)
    assert told.value("valence_texts_total", outcome="failed") == 1
    assert told.value("valence_texts_total", outcome="answered") == 1
    assert await told.code(classify(told, POISON)) == "INTERNAL"
    ended = {"code": "INTERNAL", "method": "Classify"}
    await until(lambda: told.value("valence_requests_total", **ended) == 1)
    assert [told.value("valence_refusals_total", reason=reason) for reason in REFUSALS] == (
        [0] * len(REFUSALS)
    )


async def test_bytes_that_are_no_message(told: Told) -> None:
    path = "/valence.v1.SentimentService/Classify"
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = told.service.channel.unary_unary(path)
    assert await told.code(call(b"\xff")) == "INVALID_ARGUMENT"
    await until(lambda: told.value("valence_refusals_total", reason="malformed_message") == 1)


async def test_open_streams(told: Told) -> None:
    stream = told.service.stub.StreamClassify()
    await stream.write(pb.StreamClassifyRequest(text="good"))
    await stream.read()
    assert told.value("valence_streams_open") == 1
    await stream.done_writing()
    assert await told.code(stream) == "OK"
    await until(lambda: told.value("valence_streams_open") == 0)


async def test_health(told: Told) -> None:
    assert told.value("valence_serving") == 1
    told.service.readiness.set(serving=False)
    assert told.value("valence_serving") == 0
