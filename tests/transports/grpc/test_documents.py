"""ClassifyDocument, and OVERLENGTH_WINDOWS in every call: whole texts, as one answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence_service.core.document import TextTokens

from tests.support.classifier import POISON
from tests.support.errors import Told, told
from tests.support.waiting import until
from tests.support.words import WordClassifier, WordReader
from tests.transports.grpc.conftest import QUEUE_TEXTS, Service, started

WINDOWS = pb.OVERLENGTH_WINDOWS
# 20 tokens, of which the model reads 16: two windows.
LONG = "good " * 14 + "bad bad bad bad"
TEXT = "The room 😍 was good. \r\nBreakfast\0 was bad! Bad, bad dog…  "
SENTENCES = ["The room 😍 was good.", "Breakfast\0 was bad!", "Bad, bad dog…"]


@pytest.fixture
async def words() -> AsyncIterator[Service]:
    """A service whose model scores words."""
    async with started(classifier=WordClassifier) as running:
        yield running


async def document(
    service: Service, text: str, unit: pb.OffsetUnit.ValueType = pb.OFFSET_UNIT_UNSPECIFIED
) -> pb.ClassifyDocumentResponse:
    request = pb.ClassifyDocumentRequest(text=text, offset_unit=unit)
    return await service.stub.ClassifyDocument(request, timeout=20)


async def refusal(service: Service, text: str) -> tuple[grpc.StatusCode, Told]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await document(service, text)
    return caught.value.code(), told(caught.value)


async def test_a_document_has_its_sentences_and_its_own_sentiment(words: Service) -> None:
    answer = await document(words, TEXT)
    assert [TEXT[each.begin : each.end] for each in answer.sentences] == SENTENCES
    alone = [
        (await words.stub.Classify(pb.ClassifyRequest(text=text))).sentiment
        for text in (*SENTENCES, TEXT)
    ]
    assert [*(each.sentiment for each in answer.sentences), answer.document] == alone
    assert answer.windows == 1
    assert 0 < answer.mixed < 1
    assert answer.timings.HasField("inference_duration")


@pytest.mark.parametrize(
    ("unit", "cut"),
    [
        (pb.OFFSET_UNIT_CODE_POINTS, lambda text, begin, end: text[begin:end]),
        (pb.OFFSET_UNIT_UTF8_BYTES, lambda text, begin, end: text.encode()[begin:end].decode()),
        (
            pb.OFFSET_UNIT_UTF16_UNITS,
            lambda text, begin, end: text.encode("utf-16-le")[2 * begin : 2 * end].decode(
                "utf-16-le"
            ),
        ),
    ],
)
async def test_offsets_count_the_unit_of_the_request(
    words: Service, unit: pb.OffsetUnit.ValueType, cut: Callable[[str, int, int], str]
) -> None:
    answer = await document(words, TEXT, unit)
    assert [cut(TEXT, each.begin, each.end) for each in answer.sentences] == SENTENCES


async def test_a_document_is_read_to_its_end(words: Service) -> None:
    text = "good " * 14 + "bad " * 42
    answer = await document(words, text)
    assert answer.windows == 5
    assert (answer.document.label, answer.document.truncated) == ("bad", False)
    assert answer.document.tokens_used == answer.document.tokens_total == 58
    assert (answer.sentences[0].sentiment.label, answer.sentences[0].sentiment.truncated) == (
        "good",
        True,
    )


async def test_one_sided_documents_are_not_mixed_and_two_sided_ones_are(words: Service) -> None:
    assert (await document(words, "good good.\nso good.")).mixed == 0
    assert (await document(words, "good good.\nbad bad.")).mixed > 0.5


async def test_what_repeats_is_computed_once(words: Service) -> None:
    answer = await document(words, "good\ngood\ngood")
    assert len(answer.sentences) == 3
    assert sorted(words.classifier.seen) == ["good", "good\ngood\ngood"]


@pytest.mark.parametrize(
    ("text", "words_of_error"),
    [
        ("", "empty"),
        ("\u200b", "zero-width"),
        ("x" * 401, "401 bytes, over the limit of 400"),
        ("a\n" * 9, "more sentences than the limit of 8"),
        (" ".join(map(str, range(79))), "in 7 windows and sentences"),
    ],
)
async def test_a_document_beyond_a_limit_is_refused_by_name(text: str, words_of_error: str) -> None:
    async with started(classifier=WordClassifier, queue_texts=6) as service:
        code, said = await refusal(service, text)
        assert (code, said.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["text"])
        assert words_of_error in said.message
        assert not service.classifier.seen


async def test_a_wrong_unit_is_invalid(words: Service) -> None:
    request = pb.ClassifyDocumentRequest(text="good", offset_unit=9)  # type: ignore[arg-type]  # it is the fault
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await words.stub.ClassifyDocument(request)
    assert told(caught.value).fields == ["offset_unit"]


async def test_the_limits_and_windows_are_told(words: Service) -> None:
    model = (await words.stub.GetModel(pb.GetModelRequest())).model
    assert (model.limits.max_document_bytes, model.limits.max_sentences) == (400, 8)
    assert (model.windows.tokens, model.windows.stride) == (16, 13)


async def test_a_part_that_the_model_fails_on_fails_the_document_and_frees_the_queue(
    words: Service,
) -> None:
    text = "\n".join([POISON, *"abcdefg"])
    code, said = await refusal(words, text)
    assert (code, said.reason) == (grpc.StatusCode.INTERNAL, "MODEL_FAILED")
    assert words.batcher.queued_texts == 0
    # The first batch had the whole, the poison and two more; the others were not computed.
    assert words.batcher.counters.dropped == 5
    assert (await document(words, "good")).document.label == "good"


async def test_a_document_weighs_what_its_texts_weigh(words: Service) -> None:
    words.classifier.hold()
    first = asyncio.create_task(document(words, "good"))
    await words.classifier.started()
    waiting = asyncio.create_task(document(words, "\n".join("abcdefg")))
    await until(lambda: words.batcher.queued_texts == 8)
    # Eight sentences and a window do not fit beside them: none is queued.
    code, said = await refusal(words, "\n".join("hijklmno"))
    assert (code, said.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert words.batcher.queued_texts == 8
    # A text of another call is computed in the next batch, and not behind the whole document.
    other = words.stub.Classify(pb.ClassifyRequest(text="other"))
    await until(lambda: words.batcher.queued_texts == 9)
    words.classifier.release()
    await asyncio.gather(first, waiting, other)
    assert "other" in words.classifier.seen[1:5]


async def test_a_full_queue_refuses_before_a_text_is_divided(
    words: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    words.classifier.hold()
    first = asyncio.create_task(document(words, "good"))
    await words.classifier.started()
    flood = [
        words.stub.BatchClassify(pb.BatchClassifyRequest(texts=["a", "b", "c", "d"]))
        for _ in range(QUEUE_TEXTS // 4)
    ]
    await until(lambda: words.batcher.queued_texts == QUEUE_TEXTS)
    read: list[str] = []
    monkeypatch.setattr(WordReader, "read", lambda _, text: read.append(text))
    code, said = await refusal(words, "good. bad.")
    assert (code, said.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    batch = pb.BatchClassifyRequest(texts=["good"], overlength=WINDOWS)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await words.stub.BatchClassify(batch)
    assert told(caught.value).reason == "OVERLOADED"
    assert not read
    words.classifier.release()
    await asyncio.gather(first, *flood)


async def test_a_caller_who_leaves_frees_the_places_of_a_document(words: Service) -> None:
    words.classifier.hold()
    first = asyncio.create_task(document(words, "good"))
    await words.classifier.started()
    leaving = words.stub.ClassifyDocument(pb.ClassifyDocumentRequest(text="a\nb\nc"))
    await until(lambda: words.batcher.queued_texts == 4)
    leaving.cancel()
    await until(lambda: words.batcher.queued_texts == 0)
    words.classifier.release()
    await first


async def test_a_long_text_is_read_in_windows_in_every_call(words: Service) -> None:
    one = await words.stub.Classify(pb.ClassifyRequest(text=LONG, overlength=WINDOWS))
    texts = ["bad", "", LONG]
    batch = await words.stub.BatchClassify(pb.BatchClassifyRequest(texts=texts, overlength=WINDOWS))
    options = pb.StreamOptions(overlength=WINDOWS)
    requests = [pb.StreamClassifyRequest(text=text, options=options) for text in texts]
    streamed = [each async for each in words.stub.StreamClassify(iter(requests))]
    whole = await document(words, LONG)

    assert one.sentiment.tokens_used == one.sentiment.tokens_total == 20
    assert not one.sentiment.truncated
    truncated = (await words.stub.Classify(pb.ClassifyRequest(text=LONG))).sentiment
    assert one.sentiment.valence < truncated.valence
    assert sum(each.score for each in one.sentiment.scores) == pytest.approx(1)
    assert batch.results[2].sentiment == streamed[2].sentiment == one.sentiment
    assert whole.document == one.sentiment
    assert batch.results[0].sentiment.label == streamed[0].sentiment.label == "bad"
    assert Told(batch.results[1].error).fields == ["texts[1]"]
    assert Told(streamed[1].error).fields == ["text"]


async def test_a_stream_of_long_texts_is_bounded_by_half_of_the_queue(words: Service) -> None:
    words.classifier.hold()
    options = pb.StreamOptions(overlength=WINDOWS)
    requests = [pb.StreamClassifyRequest(id=f"{n}", text=LONG, options=options) for n in range(40)]
    call = words.stub.StreamClassify(iter(requests))
    await until(lambda: words.batcher.queued_texts == QUEUE_TEXTS // 2)
    words.classifier.release()
    async with asyncio.timeout(20):
        answers = [each async for each in call]
    assert [each.id for each in answers] == [request.id for request in requests]
    assert all(each.sentiment.tokens_used == 20 for each in answers)


async def test_a_stream_that_ends_leaves_no_window_in_the_queue(words: Service) -> None:
    words.classifier.hold()
    first = words.stub.Classify(pb.ClassifyRequest(text="first"))
    await words.classifier.started()
    options = pb.StreamOptions(overlength=WINDOWS)
    # Of one window, and of four: the fifth text waits for places with one of its four in the queue.
    texts = [*"abc", *["a " * 50] * 10]
    requests = [pb.StreamClassifyRequest(text=text, options=options) for text in texts]
    call = words.stub.StreamClassify(iter(requests))
    await until(lambda: words.batcher.queued_texts == QUEUE_TEXTS // 2)
    call.cancel()
    await until(lambda: words.batcher.queued_texts == 0)
    words.classifier.release()
    await first


async def test_a_model_that_tells_no_places_of_tokens_refuses_by_name() -> None:
    async with started(classifier=WordClassifier, divides=False) as service:
        request = pb.ClassifyRequest(text="good", overlength=WINDOWS)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.stub.Classify(request)
        assert told(caught.value).fields == ["overlength"]
        _, said = await refusal(service, "good")
        assert "tokenizer does not tell" in said.message
        model = (await service.stub.GetModel(pb.GetModelRequest())).model
        assert not model.HasField("windows")


async def test_other_calls_are_answered_while_a_text_is_divided(
    words: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    divides, released = threading.Event(), threading.Event()
    read = WordReader.read

    def held(self: WordReader, text: str) -> TextTokens:
        divides.set()
        assert released.wait(20), "held and never released"
        return read(self, text)

    monkeypatch.setattr(WordReader, "read", held)
    dividing = asyncio.create_task(document(words, "bad"))
    await asyncio.to_thread(divides.wait, 20)
    answer = await words.stub.Classify(pb.ClassifyRequest(text="good"), timeout=10)
    assert answer.sentiment.label == "good"
    assert not dividing.done()
    released.set()
    assert (await dividing).document.label == "bad"


async def test_a_tokenizer_that_fails_fails_its_text_alone(
    words: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = WordReader.read

    def broken(self: WordReader, text: str) -> TextTokens:
        if "panic" in text:
            raise BaseException("the tokenizer panicked")
        return read(self, text)

    monkeypatch.setattr(WordReader, "read", broken)
    batch = await words.stub.BatchClassify(
        pb.BatchClassifyRequest(texts=["good", "panic"], overlength=WINDOWS)
    )
    assert batch.results[0].sentiment.label == "good"
    assert Told(batch.results[1].error).reason == "MODEL_FAILED"
    assert "panicked" not in str(batch)
