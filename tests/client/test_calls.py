"""The unary calls, on both stacks."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc
from valence_client import (
    AsyncClient,
    Client,
    InvalidText,
    Label,
    LabelScore,
    Limits,
    ModelInfo,
    ModelRef,
    Polarity,
    Sentiment,
    ServerFailed,
    Timings,
    ValenceError,
    Windows,
)

from tests.client import twins
from tests.client.conftest import Open, Serving

WRONG_SECONDS = (0, -1.0, float("nan"), float("inf"), 1e12, 86401)
DAY = "give more than 0 and at most 86400, or None"
PEM = b"-----BEGIN CERTIFICATE-----"
GOOD = Sentiment(
    label="POSITIVE",
    score=0.75,
    scores=(LabelScore("POSITIVE", 0.75), LabelScore("NEGATIVE", 0.25)),
    polarity=Polarity.POSITIVE,
    valence=0.5,
    tokens_total=3,
    tokens_used=3,
    truncated=False,
    model=ModelRef("fixed", "0123456789ab"),
    layers_used=4,
)


async def test_classify(client: Open) -> None:
    async with client() as ask:
        answer = await ask.classify("good")
        long = await ask.classify("a bad film that has no end at all")
        sunny = await ask.classify("☀ good ☀")
    assert answer == GOOD
    assert sunny.tokens_unknown == 2
    assert answer.timings == Timings(queue_seconds=0.0015, inference_seconds=2.0)
    assert (long.truncated, long.tokens_used, long.tokens_total) == (True, 8, 11)


async def test_document(client: Open, server: Serving) -> None:
    text = "👨‍👩‍👧 good\nbad"
    async with client() as ask:
        document = await ask.classify_document(text)
        unknown = await ask.classify_document("unknown")
        with pytest.raises(InvalidText) as refused:
            await ask.classify_document("")
        with pytest.raises(ServerFailed, match="do not lie in the text"):
            await ask.classify_document("nowhere")
        with pytest.raises(InvalidText, match="lone surrogate"):
            await ask.classify_document("\ud800")
    assert server.contract.requests[0].offset_unit == pb.OFFSET_UNIT_CODE_POINTS
    assert [(each.text, each.begin, each.end) for each in document.sentences] == [
        ("👨‍👩‍👧 good", 0, 10),
        ("bad", 11, 14),
    ]
    assert [each.sentiment.valence for each in document.sentences] == [0.5, -0.5]
    assert (document.sentiment.label, document.mixed, document.windows) == ("POSITIVE", 0.25, 2)
    assert document.sentiment.timings == Timings(queue_seconds=0.0015, inference_seconds=2.0)
    assert unknown.mixed is None
    assert refused.value.field == "text"


async def test_batch_answers_in_order_and_a_bad_text_in_its_place(client: Open) -> None:
    async with client() as ask:
        first, second, third = await ask.classify_batch(["good", "", "bad"])
    assert first == GOOD
    assert isinstance(second, InvalidText)
    assert (second.field, second.description) == ("texts[1]", "is empty")
    assert isinstance(third, Sentiment)
    assert third.polarity is Polarity.NEGATIVE


async def test_batch_of_none_needs_no_call(client: Open, server: Serving) -> None:
    async with client() as ask:
        assert await ask.classify_batch(iter(())) == []
    assert server.contract.requests == []


async def test_batch_that_lacks_an_answer(client: Open) -> None:
    async with client() as ask:
        good, nothing = await ask.classify_batch(["good", "nothing"])
        with pytest.raises(ServerFailed, match="1 of 2 texts"):
            await ask.classify_batch(["good", "end"])
    assert good == GOOD
    assert isinstance(nothing, ServerFailed)


async def test_model(client: Open) -> None:
    async with client() as ask:
        assert await ask.model() == ModelInfo(
            name="fixed",
            revision="0123456789ab",
            labels=(
                Label("NEGATIVE", Polarity.NEGATIVE, -1.0),
                Label("LABEL_1", Polarity.UNSPECIFIED, None),
            ),
            limits=Limits(
                max_text_bytes=65536,
                max_tokens=8,
                max_batch_texts=64,
                max_id_bytes=256,
                max_document_bytes=1000,
                max_sentences=9,
            ),
            engine="pipeline",
            precision="f32",
            device="cpu",
            engine_reason="f32: the reference",
            layers=6,
            windows=Windows(tokens=8, stride=6),
        )


async def test_overlength_is_sent(client: Open, server: Serving) -> None:
    async with client() as ask:
        await ask.classify("good")
        await ask.classify("good", overlength="reject")
        await ask.classify_batch(["good"], overlength="reject")
        await ask.classify("good", overlength="windows")
    sent = [request.overlength for request in server.contract.requests]
    assert sent == [
        pb.OVERLENGTH_TRUNCATE,
        pb.OVERLENGTH_REJECT,
        pb.OVERLENGTH_REJECT,
        pb.OVERLENGTH_WINDOWS,
    ]


async def test_token_is_sent_with_every_call(client: Open, server: Serving) -> None:
    async with client(token="secret") as ask:
        await ask.classify("good")
        await ask.classify_batch(["good"])
        await ask.model()
        assert [answer async for answer in ask.classify_stream(["good"])] == [GOOD]
    assert server.contract.authorization == ["Bearer secret"] * 4


async def test_token_from_a_file_that_changes(
    client: Open, server: Serving, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    async with client(token=path) as ask:
        await ask.classify("good")
        (tmp_path / "new").write_text("another\n")
        (tmp_path / "new").replace(path)
        await ask.classify("good")
    assert server.contract.authorization == ["Bearer first", "Bearer another"]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"one two", b"one\ntwo\n", "größe".encode(), b"\xff"]
)
def test_file_without_a_token(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ValueError, match=r"/token: give one token"):
        Client(token=tmp_path / "token")


async def test_token_from_a_function(client: Open, server: Serving) -> None:
    tokens = iter(["first", "second", "wrong\n"])
    async with client(token=lambda: next(tokens)) as ask:
        await ask.classify("good")
        assert [answer async for answer in ask.classify_stream(["good"])] == [GOOD]
        with pytest.raises(ValueError, match="printable ASCII"):
            await ask.classify("good")
    assert server.contract.authorization == ["Bearer first", "Bearer second"]


async def test_calls_go_round_several_addresses(
    kind: str, server: Serving, another: Serving
) -> None:
    addresses = [server.address, another.address]
    async with twins.opened(kind, addresses) as ask:
        # Round those that are connected by then; health watches take a moment.
        while not (server.contract.requests and another.contract.requests):
            assert await ask.classify("good") == GOOD


async def test_an_address_where_nobody_answers_is_passed_over(
    kind: str, server: Serving, refusing: str
) -> None:
    async with twins.opened(kind, [refusing, server.address]) as ask:
        for _ in range(4):
            assert await ask.classify("good") == GOOD


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
async def test_requests_are_compressed(kind: str, server: Serving, compression: str) -> None:
    text = "good " * 100
    async with twins.opened(kind, server.address, compression=compression) as ask:
        assert await ask.classify_batch([text])
    # The server does not see how a request came; so one that takes none but plain ones tells.
    plain = grpc.aio.server(options=[("grpc.compression_enabled_algorithms_bitset", 1)])
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(server.contract, plain)
    address = f"127.0.0.1:{plain.add_insecure_port('127.0.0.1:0')}"
    await plain.start()
    async with twins.opened(kind, address, compression=compression) as ask:
        with pytest.raises(ValenceError, match=compression):
            await ask.classify(text)
    await plain.stop(0)


async def test_texts_that_cannot_be_sent(client: Open) -> None:
    async with client() as ask:
        with pytest.raises(InvalidText, match="lone surrogate at 2") as caught:
            await ask.classify("ab\ud800")
        assert caught.value.field == "text"
        good, bad = await ask.classify_batch(["good", "\ud800"])
        assert good == GOOD
        assert isinstance(bad, InvalidText)
        assert bad.field == "texts[1]"


async def test_what_is_no_text_is_a_mistake_of_the_program(client: Open) -> None:
    async with client() as ask:
        with pytest.raises(TypeError, match="text is NoneType, not str"):
            await ask.classify(None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="put it in a list"):
            await ask.classify_batch("good")
        with pytest.raises(TypeError, match="put it in a list"):
            ask.classify_stream("good")
        with pytest.raises(ValueError, match="'truncate', 'reject' or 'windows'"):
            await ask.classify("good", overlength="cut")
        with pytest.raises(ValueError, match="window_texts is 0"):
            ask.classify_stream(["good"], window_texts=0)


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retries": 5}, "give 0 to 4"),
        ({"root_certificates": b"pem"}, "need tls=True"),
        ({"client_certificate": b"pem", "client_key": b"pem"}, "need tls=True"),
        ({"tls": True, "client_key": b"pem"}, "give both or neither"),
        ({"compression": "zip"}, "choose 'gzip' or 'deflate'"),
        ({"token": ""}, "printable ASCII"),
        ({"token": "two words"}, "token: give one token"),
        ({"token": "secret\n"}, "printable ASCII"),
        *(({"timeout_seconds": wrong}, DAY) for wrong in WRONG_SECONDS),
        ({"tls": True, "root_certificates": b"no PEM"}, "root_certificates holds no certificate"),
        ({"tls": True, "root_certificates": b""}, "root_certificates holds no certificate"),
        (
            {"tls": True, "client_certificate": PEM, "client_key": PEM},
            "client_key holds no private key",
        ),
    ],
)
def test_wrong_options(make: type[Client], options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make("127.0.0.1:1", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        ([], "give at least one"),
        (["localhost:50051", "127.0.0.1:1"], "address has 'localhost:50051'"),
        (["127.0.0.1", "127.0.0.1:1"], "address has '127.0.0.1'"),
        (["127.0.0.1:a"], "address has '127.0.0.1:a'"),
        (["127.0.0.1:1", "[::1]:1"], "IPv4 or IPv6 addresses, not both"),
        (["127.0.0.1:1", "127.0.0.1:65536"], "address has '127.0.0.1:65536': give a port from 1"),
        ("", "give host:port"),
        ("http://10.0.0.1:50051", "give host:port without http://"),
        ("https://10.0.0.1:50051", "give host:port without https://, and tls=True"),
        ("grpc://10.0.0.1:50051", "give host:port without grpc://"),
        ("dns://10.0.0.1:50051", "write dns:///10.0.0.1:50051"),
        (" 10.0.0.1:50051", "without blanks"),
        ("10.0.0.1:50051\n", "without blanks"),
        ("10.0.0.1:50051/v1", "without a path"),
        ("10.0.0.1", "give the port too, such as 10.0.0.1:50051"),
        (":50051", "give the host too"),
        ("::1:50051", "write an IPv6 address in brackets"),
        ("10.0.0.1:0", "give a port from 1 to 65535"),
        ("10.0.0.1:65536", "give a port from 1 to 65535"),
        ("10.0.0.1:-1", "give a port from 1 to 65535"),
        ("10.0.0.1:http", "give a port from 1 to 65535"),
        ("unix:", "write unix:path"),
        ("unix://relative", "write unix:path, or unix:///path"),
        ("unix:/" + "x" * 107, "at most 107 bytes"),
    ],
)
def test_wrong_addresses(make: type[Client], addresses: str | list[str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make(addresses)


@pytest.mark.parametrize("seconds", WRONG_SECONDS)
async def test_waiting_for_no_duration(client: Open, seconds: float) -> None:
    async with client() as ask:
        with pytest.raises(ValueError, match=f"timeout_seconds is {re.escape(str(seconds))}"):
            await ask.wait_ready(seconds)


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_missing_files(make: type[Client], tmp_path: Path) -> None:
    for options in ({"token": tmp_path / "none"}, {"root_certificates": tmp_path / "none"}):
        with pytest.raises(FileNotFoundError, match="none"):
            make("127.0.0.1:1", tls=True, **options)  # type: ignore[arg-type]


def test_async_client_may_be_made_before_the_loop_runs(refusing: str) -> None:
    client = AsyncClient(refusing, retries=0)

    async def ask() -> None:
        async with client:
            with pytest.raises(Exception, match="no server answers"):
                await client.classify("good")

    asyncio.run(ask())


async def test_closed_client_refuses(server: Serving) -> None:
    client, blocking = AsyncClient(server.address), Client(server.address)
    await client.close()
    blocking.close()
    with pytest.raises(ValueError, match="closed"):
        await client.classify("good")
    with pytest.raises(ValueError, match="closed"):
        blocking.classify("good")


async def test_channel_options_go_over_the_clients_own(client: Open) -> None:
    async with client(channel_options=[("grpc.max_receive_message_length", 8)], retries=0) as ask:
        with pytest.raises(Exception, match="larger than max"):
            await ask.classify("good")
