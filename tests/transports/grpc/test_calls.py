"""Unary calls: what is answered, what is refused and how."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence_service.core.errors import Unhealthy
from valence_service.transports.grpc.server import ConnectionLimits

from tests.support.classifier import LAYERS, MAX_TOKENS, POISON, SECRET
from tests.support.errors import Told, told
from tests.support.waiting import until
from tests.transports.grpc.conftest import LIMITS, QUEUE_TEXTS, Service, started, wordless

CLASSIFY = "/valence.v1.SentimentService/Classify"


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, Told]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), told(caught.value)


async def invalid(call: Awaitable[object], field: str, limit: str) -> None:
    code, said = await refused(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said.reason == "INVALID_FIELD"
    assert said.fields == [field]
    assert limit in said.descriptions[0]
    assert field in said.message
    assert limit in said.message


async def test_a_text_is_answered(service: Service) -> None:
    response = await service.stub.Classify(pb.ClassifyRequest(text="so good"))
    sentiment = response.sentiment
    assert (sentiment.label, sentiment.score) == ("so good", 0.75)
    assert [(s.label, s.score) for s in sentiment.scores] == [("so good", 0.75), ("NEGATIVE", 0.25)]
    assert sentiment.polarity == pb.POLARITY_POSITIVE
    assert sentiment.valence == 0.5
    assert (sentiment.tokens_total, sentiment.tokens_used, sentiment.truncated) == (4, 4, False)
    assert (sentiment.model.name, sentiment.model.revision) == ("echo", "1")
    assert response.timings.inference_duration.ToNanoseconds() > 0
    assert response.timings.queue_duration.ToNanoseconds() >= 0


@pytest.mark.parametrize("text", ["", "   ", "\n\t\u2003"])
async def test_a_blank_text_is_invalid(service: Service, text: str) -> None:
    await invalid(service.stub.Classify(pb.ClassifyRequest(text=text)), "text", "empty")


async def test_unknown_tokens_and_layers_are_told_in_every_call(service: Service) -> None:
    stub, text = service.stub, "☀ good ☀"
    one = (await stub.Classify(pb.ClassifyRequest(text=text))).sentiment
    batch = (await stub.BatchClassify(pb.BatchClassifyRequest(texts=[text]))).results[0].sentiment
    stream = stub.StreamClassify(iter([pb.StreamClassifyRequest(text=text)]))
    streamed = [response.sentiment async for response in stream]
    assert [s.tokens_unknown for s in (one, batch, *streamed)] == [2, 2, 2]
    assert [s.layers_used for s in (one, batch, *streamed)] == [LAYERS] * 3


# Zero-width ones, NUL, a byte order mark, the direction of writing, marks without a letter, and
# letters without a glyph.
INVISIBLE = ["\u200b", "\0", "\ufeff\n", "\u200e\u200d", "\u0301\ufe0f", "\u3164 \u2800", "\0" * 99]


@pytest.mark.parametrize("text", INVISIBLE)
async def test_a_text_that_shows_nothing_is_invalid(service: Service, text: str) -> None:
    await invalid(service.stub.Classify(pb.ClassifyRequest(text=text)), "text", "zero-width")
    batch = await service.stub.BatchClassify(pb.BatchClassifyRequest(texts=["good", text]))
    assert Told(batch.results[1].error).fields == ["texts[1]"]
    stream = service.stub.StreamClassify(iter([pb.StreamClassifyRequest(text=text)]))
    assert [Told(response.error).fields async for response in stream] == [["text"]]


# A keycap, an emoji newer than some Pythons' Unicode, an icon of a font, a question mark.
@pytest.mark.parametrize("text", ["\0a", "1\ufe0f\u20e3", "\U0001fae8", "\ue000", "?", "\u200b👎"])
async def test_a_text_that_shows_anything_is_answered(service: Service, text: str) -> None:
    assert (await service.stub.Classify(pb.ClassifyRequest(text=text))).sentiment.label == text


@pytest.mark.parametrize("text", ["x" * 101, "é" * 51, "x" * 10_000_000])
async def test_a_text_over_the_limit_is_invalid(service: Service, text: str) -> None:
    size = str(len(text.encode()))
    await invalid(service.stub.Classify(pb.ClassifyRequest(text=text)), "text", "limit of 100")
    await invalid(service.stub.Classify(pb.ClassifyRequest(text=text)), "text", size)


async def test_a_text_at_the_limit_is_answered(service: Service) -> None:
    text = "é" * (LIMITS.max_text_bytes // 2)
    assert (await service.stub.Classify(pb.ClassifyRequest(text=text))).sentiment.label == text


async def test_a_wrong_overlength_is_invalid(service: Service) -> None:
    request = pb.ClassifyRequest(text="good", overlength=7)  # type: ignore[arg-type]  # what else
    await invalid(service.stub.Classify(request), "overlength", "OVERLENGTH_REJECT")
    batch = pb.BatchClassifyRequest(texts=["good"], overlength=7)  # type: ignore[arg-type]  # as above
    await invalid(service.stub.BatchClassify(batch), "overlength", "OVERLENGTH_REJECT")


async def test_too_many_tokens_are_told_or_refused_as_asked(service: Service) -> None:
    text = "a " * MAX_TOKENS
    sentiment = (await service.stub.Classify(pb.ClassifyRequest(text=text))).sentiment
    assert sentiment.truncated
    assert (sentiment.tokens_total, sentiment.tokens_used) == (MAX_TOKENS + 2, MAX_TOKENS)
    strict = pb.ClassifyRequest(text=text, overlength=pb.OVERLENGTH_REJECT)
    await invalid(service.stub.Classify(strict), "text", f"limit of {MAX_TOKENS}")


async def test_bytes_that_are_no_message_are_told_so(service: Service) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = service.channel.unary_unary(CLASSIFY)
    for data in (b"\x0a\x02\xff\xfe", b"\x0a\x7fcut", b"\xff" * 64):
        code, said = await refused(call(data))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said.reason == "MALFORMED_MESSAGE"
        assert "UTF-8" in said.message
    await service.stub.Classify(pb.ClassifyRequest(text="still here"))


async def test_a_batch_is_answered_in_order_each_text_for_itself(service: Service) -> None:
    texts = ["one", "", POISON, "four"]
    response = await service.stub.BatchClassify(pb.BatchClassifyRequest(texts=texts))
    first, blank, poison, last = response.results
    assert (first.sentiment.label, last.sentiment.label) == ("one", "four")
    assert Told(blank.error).fields == ["texts[1]"]
    assert Told(poison.error).reason == "MODEL_FAILED"
    assert SECRET not in str(response)
    assert response.timings.inference_duration.ToNanoseconds() > 0


async def test_a_batch_of_bad_texts_alone_is_answered(service: Service) -> None:
    response = await service.stub.BatchClassify(pb.BatchClassifyRequest(texts=["", " "]))
    assert [Told(result.error).fields for result in response.results] == [
        ["texts[0]"],
        ["texts[1]"],
    ]


async def test_a_batch_refuses_its_long_texts_alone(service: Service) -> None:
    request = pb.BatchClassifyRequest(
        texts=["short", "a " * MAX_TOKENS], overlength=pb.OVERLENGTH_REJECT
    )
    short, long = (await service.stub.BatchClassify(request)).results
    assert short.sentiment.label == "short"
    assert Told(long.error).fields == ["texts[1]"]


async def test_an_empty_batch_is_invalid(service: Service) -> None:
    await invalid(service.stub.BatchClassify(pb.BatchClassifyRequest()), "texts", "1 to 4")


async def test_a_batch_over_the_limit_is_invalid(service: Service) -> None:
    request = pb.BatchClassifyRequest(texts=["x"] * 5)
    await invalid(service.stub.BatchClassify(request), "texts", "limit of 4")


async def test_a_failing_model_is_told_by_id_and_not_a_word_more(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    code, said = await refused(service.stub.Classify(pb.ClassifyRequest(text=POISON)))
    assert code is grpc.StatusCode.INTERNAL
    assert said.reason == "MODEL_FAILED"
    assert SECRET not in said.message
    incident = said.info.metadata["id"]
    assert incident in said.message
    assert incident in caplog.text
    assert SECRET in caplog.text


async def test_a_fault_of_ours_is_told_by_id_and_not_a_word_more(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: object, **__: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(service.batcher, "submit", fault)
    code, said = await refused(service.stub.Classify(pb.ClassifyRequest(text="good")))
    assert (code, said.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert SECRET not in said.message
    assert said.info.metadata["id"] in caplog.text


async def test_a_full_queue_says_when_to_come_back(service: Service) -> None:
    service.classifier.hold()
    running = service.stub.Classify(pb.ClassifyRequest(text="running"))
    await service.classifier.started()
    waiting = [
        service.stub.BatchClassify(pb.BatchClassifyRequest(texts=["w"] * 4))
        for _ in range(QUEUE_TEXTS // 4)
    ]
    await until(lambda: service.batcher.queued_texts == QUEUE_TEXTS)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Classify(pb.ClassifyRequest(text="one too many"))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    said = told(caught.value)
    assert said.reason == "OVERLOADED"
    seconds = said.retry.retry_delay.ToNanoseconds() / 1e9
    assert seconds > 0
    trailers = dict(caught.value.trailing_metadata() or ())
    assert int(trailers["grpc-retry-pushback-ms"]) == round(seconds * 1e3)
    # It is known before the message has come.
    silent = wordless(service)
    code, said = await refused(silent)
    assert (code, said.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    service.classifier.release()
    assert (await running).sentiment.label == "running"
    for call in waiting:
        assert [r.sentiment.label for r in (await call).results] == ["w"] * 4


async def test_a_deadline_that_passes_in_the_queue_drops_the_work(service: Service) -> None:
    service.classifier.hold()
    running = service.stub.Classify(pb.ClassifyRequest(text="running"))
    await service.classifier.started()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Classify(pb.ClassifyRequest(text="late"), timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    service.classifier.release()
    await running
    await service.stub.Classify(pb.ClassifyRequest(text="next"))
    assert service.classifier.seen == ["running", "next"]


async def test_a_caller_who_leaves_takes_the_work_along(service: Service) -> None:
    service.classifier.hold()
    running = service.stub.Classify(pb.ClassifyRequest(text="running"))
    await service.classifier.started()
    leaving = service.stub.Classify(pb.ClassifyRequest(text="leaving"))
    await until(lambda: service.batcher.queued_texts == 1)
    leaving.cancel()
    await until(lambda: service.batcher.queued_texts == 0)
    service.classifier.release()
    assert (await running).sentiment.label == "running"
    assert service.classifier.seen == ["running"]


async def test_the_model_tells_its_labels_and_limits(service: Service) -> None:
    model = (await service.stub.GetModel(pb.GetModelRequest())).model
    assert (model.name, model.revision, model.engine) == ("echo", "1", "echo")
    assert [(label.name, label.polarity, label.valence) for label in model.labels] == [
        ("POSITIVE", pb.POLARITY_POSITIVE, 1.0),
        ("NEGATIVE", pb.POLARITY_NEGATIVE, -1.0),
    ]
    assert model.layers == LAYERS
    limits = model.limits
    assert (limits.max_text_bytes, limits.max_batch_texts) == (100, 4)
    assert (limits.max_tokens, limits.max_id_bytes) == (MAX_TOKENS, 256)


async def test_nothing_is_taken_before_the_model_is_there(unopened: Service) -> None:
    code, said = await refused(unopened.stub.Classify(pb.ClassifyRequest(text="good")))
    assert (code, said.reason) == (grpc.StatusCode.UNAVAILABLE, "STARTING")
    code, said = await refused(unopened.stub.GetModel(pb.GetModelRequest()))
    assert (code, said.reason) == (grpc.StatusCode.UNAVAILABLE, "STARTING")


def logged_codes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.msg["code"]
        for record in caplog.records
        if isinstance(record.msg, dict) and record.msg["event"] == "call"
    ]


async def test_every_call_is_logged_when_asked(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "valence_service"):
        await service.stub.Classify(pb.ClassifyRequest(text="good"))
        await refused(service.stub.Classify(pb.ClassifyRequest(text="")))
        # A call that fails is logged after its caller has been told.
        await until(lambda: logged_codes(caplog) == ["OK", "INVALID_ARGUMENT"])


async def test_no_text_nor_what_is_said_of_it_is_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "valence_service"):
        await service.stub.Classify(pb.ClassifyRequest(text="a private text"))
        await service.stub.BatchClassify(pb.BatchClassifyRequest(texts=["a private text", ""]))
        await refused(service.stub.Classify(pb.ClassifyRequest(text="a private text " * 10)))
    assert "call" in caplog.text
    assert "private" not in caplog.text
    assert "0.75" not in caplog.text


async def test_a_call_without_a_message(service: Service) -> None:
    call = wordless(service)
    await call.done_writing()
    code, said = await refused(call)
    assert (code, said.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert said.message == "the call ended without a ClassifyRequest"


async def test_refusals_keep_nothing_of_the_calls(service: Service) -> None:
    refusal = Unhealthy("the model does not answer")
    service.sentiment.refuse(refusal)
    depths = set()
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError):
            await service.stub.Classify(pb.ClassifyRequest(text="good"))
        depths.add(len(traceback.extract_tb(refusal.__traceback__)))
    assert len(depths) == 1


async def test_calls_above_the_limit_of_a_connection_wait() -> None:
    async with started(connections=ConnectionLimits(max_calls=4)) as service:
        texts = [f"text {number}" for number in range(QUEUE_TEXTS)]
        calls = [service.stub.Classify(pb.ClassifyRequest(text=text)) for text in texts]
        async with asyncio.timeout(20):
            responses = [await call for call in calls]
    assert [response.sentiment.label for response in responses] == texts
