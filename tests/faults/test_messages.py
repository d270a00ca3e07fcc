"""Whatever valid message comes, the response obeys the contract's manual: sentiment.proto."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.faults.contract import (
    MAX_BATCH_TEXTS,
    MAX_ID_BYTES,
    MAX_TEXT_BYTES,
    MAX_TOKENS,
    check_invalid,
    check_refused,
    check_result,
    check_sentiment,
    is_bad,
)
from tests.faults.running import running
from tests.support.models import WORDS

SECONDS = 20
FEW = settings(max_examples=150, deadline=None, derandomize=True)

texts = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(WORDS), max_size=70).map(" ".join),  # too many tokens, or bytes
    st.sampled_from(["", " ", "\n\t\u2003", "\0", "x" * MAX_TEXT_BYTES, "é" * 150, "é" * 151]),
)
ids = st.one_of(st.text(max_size=8), st.sampled_from(["i" * 256, "i" * 257, "é" * 129]))
# By the number of the unit: the encoding, and the bytes of the unit in it.
ENCODINGS = {0: ("utf-32-le", 4), 1: ("utf-32-le", 4), 2: ("utf-8", 1), 3: ("utf-16-le", 2)}
# Of an open enumeration any number may come.
enumerations = st.sampled_from([0, 0, 1, 2, 3, -1, 1 << 30])


@pytest.fixture(scope="module")
def stub(model: tuple[str, ...]) -> Iterator[sentiment_pb2_grpc.SentimentServiceStub]:
    limits = ("--max-text-bytes", str(MAX_TEXT_BYTES), "--max-batch-texts", str(MAX_BATCH_TEXTS))
    documents = ("--max-document-bytes", str(MAX_TEXT_BYTES))
    with (
        running(*model, *limits, *documents) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield sentiment_pb2_grpc.SentimentServiceStub(channel)


@FEW
@given(text=texts, overlength=enumerations)
def test_classify_answers_or_names_the_field(
    stub: sentiment_pb2_grpc.SentimentServiceStub, text: str, overlength: pb.Overlength.ValueType
) -> None:
    try:
        response = stub.Classify(
            pb.ClassifyRequest(text=text, overlength=overlength), timeout=SECONDS
        )
    except grpc.RpcError as error:
        known = overlength in pb.Overlength.values()
        assert not known or is_bad(text) or overlength == pb.OVERLENGTH_REJECT
        check_refused(error, "text" if known else "overlength")
    else:
        assert overlength in pb.Overlength.values()
        assert not is_bad(text)
        check_sentiment(response.sentiment, whole=overlength == pb.OVERLENGTH_WINDOWS)
        assert not (response.sentiment.truncated and overlength == pb.OVERLENGTH_REJECT)
        assert response.HasField("timings")


@FEW
@given(batch=st.lists(texts, max_size=MAX_BATCH_TEXTS + 1), overlength=enumerations)
def test_a_batch_has_a_result_for_each_text_or_names_the_field(
    stub: sentiment_pb2_grpc.SentimentServiceStub,
    batch: list[str],
    overlength: pb.Overlength.ValueType,
) -> None:
    known = overlength in pb.Overlength.values()
    takes = known and 1 <= len(batch) <= MAX_BATCH_TEXTS
    try:
        response = stub.BatchClassify(
            pb.BatchClassifyRequest(texts=batch, overlength=overlength), timeout=SECONDS
        )
    except grpc.RpcError as error:
        assert not takes
        check_refused(error, "texts" if known else "overlength")
        return
    assert takes
    assert len(response.results) == len(batch)
    for index, (text, result) in enumerate(zip(batch, response.results, strict=True)):
        check_result(
            result,
            text,
            f"texts[{index}]",
            rejects_long=overlength == pb.OVERLENGTH_REJECT,
            whole=overlength == pb.OVERLENGTH_WINDOWS,
        )
    assert response.HasField("timings")


@FEW
@given(
    requests=st.lists(st.tuples(ids, texts), max_size=12),
    overlength=enumerations,
    order=enumerations,
)
def test_a_stream_has_a_response_for_each_request_or_names_the_field(
    stub: sentiment_pb2_grpc.SentimentServiceStub,
    requests: list[tuple[str, str]],
    overlength: pb.Overlength.ValueType,
    order: pb.Order.ValueType,
) -> None:
    options = pb.StreamOptions(overlength=overlength, order=order)
    # Each has an id that tells which it is, also where the answers come in another order.
    named = {f"{number}{name}": text for number, (name, text) in enumerate(requests)}
    call = stub.StreamClassify(
        (pb.StreamClassifyRequest(id=i, text=text, options=options) for i, text in named.items()),
        timeout=SECONDS,
    )
    bad_option = (
        "options.overlength"
        if overlength not in pb.Overlength.values()
        else "options.order"
        if order not in pb.Order.values()
        else None
    )
    if requests and bad_option:
        with pytest.raises(grpc.RpcError) as refused:
            list(call)
        check_refused(refused.value, bad_option)
        return
    responses = list(call)
    came = [response.id for response in responses]
    if order == pb.ORDER_READY:
        came, expected = sorted(came), sorted(named)
    else:
        expected = list(named)
    assert came == expected
    for response in responses:
        if len(response.id.encode()) > MAX_ID_BYTES:
            check_invalid(response.error, "id")
        else:
            check_result(
                response,
                named[response.id],
                "text",
                rejects_long=overlength == pb.OVERLENGTH_REJECT,
                whole=overlength == pb.OVERLENGTH_WINDOWS,
            )
        if response.WhichOneof("result") == "sentiment":
            assert response.HasField("timings")


@FEW
@given(text=texts, unit=enumerations)
def test_a_document_has_its_sentences_in_place_or_names_the_field(
    stub: sentiment_pb2_grpc.SentimentServiceStub, text: str, unit: pb.OffsetUnit.ValueType
) -> None:
    known = unit in pb.OffsetUnit.values()
    try:
        answer = stub.ClassifyDocument(
            pb.ClassifyDocumentRequest(text=text, offset_unit=unit), timeout=SECONDS
        )
    except grpc.RpcError as error:
        assert not known or is_bad(text)
        check_refused(error, "text" if known else "offset_unit")
        return
    assert known
    assert not is_bad(text)
    check_sentiment(answer.document, whole=True)
    encoding, unit_bytes = ENCODINGS[unit]
    data = text.encode(encoding)
    edges = [0, *(edge for each in answer.sentences for edge in (each.begin, each.end))]
    edges = [edge * unit_bytes for edge in edges] + [len(data)]
    assert edges == sorted(edges)
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        assert not data[begin:end].decode(encoding).strip()
    for each in answer.sentences:
        sentence = data[each.begin * unit_bytes : each.end * unit_bytes].decode(encoding)
        assert sentence == sentence.strip() != ""
        check_sentiment(each.sentiment)
    assert 0 <= answer.mixed <= 1


@given(unknown=st.binary(max_size=40).map(lambda data: b"\xfa\x01" + bytes([len(data)]) + data))
@settings(FEW, max_examples=20)
def test_the_model_says_what_the_others_obey(
    stub: sentiment_pb2_grpc.SentimentServiceStub, unknown: bytes
) -> None:
    """A field that a later contract may have is passed over."""
    about = stub.GetModel(pb.GetModelRequest.FromString(unknown), timeout=SECONDS).model
    assert [(label.name, label.polarity, label.valence) for label in about.labels] == [
        ("NEGATIVE", pb.POLARITY_NEGATIVE, -1.0),
        ("POSITIVE", pb.POLARITY_POSITIVE, 1.0),
    ]
    assert about.limits == pb.Limits(
        max_text_bytes=MAX_TEXT_BYTES,
        max_tokens=MAX_TOKENS,
        max_batch_texts=MAX_BATCH_TEXTS,
        max_id_bytes=MAX_ID_BYTES,
        max_document_bytes=MAX_TEXT_BYTES,
        max_sentences=800,
    )
    assert (about.engine, about.precision, about.device) == ("openvino", "f32", "cpu")
