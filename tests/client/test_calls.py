"""The unary calls, on both stacks."""

from __future__ import annotations

import asyncio

import pytest
from valence.v1 import sentiment_pb2 as pb
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
)

from tests.client.conftest import Open, Serving

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
)


async def test_classify(client: Open) -> None:
    async with client() as ask:
        answer = await ask.classify("good")
        long = await ask.classify("a bad film that has no end at all")
    assert answer == GOOD
    assert answer.timings == Timings(queue_seconds=0.0015, inference_seconds=2.0)
    assert (long.truncated, long.tokens_used, long.tokens_total) == (True, 8, 11)


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
            limits=Limits(max_text_bytes=65536, max_tokens=8, max_batch_texts=64, max_id_bytes=256),
            engine="pipeline",
            precision="f32",
            device="cpu",
            engine_reason="f32: the reference",
        )


async def test_overlength_is_sent(client: Open, server: Serving) -> None:
    async with client() as ask:
        await ask.classify("good")
        await ask.classify("good", overlength="reject")
        await ask.classify_batch(["good"], overlength="reject")
    sent = [request.overlength for request in server.contract.requests]
    assert sent == [pb.OVERLENGTH_TRUNCATE, pb.OVERLENGTH_REJECT, pb.OVERLENGTH_REJECT]


async def test_token_is_sent_with_every_call(client: Open, server: Serving) -> None:
    async with client(token="secret") as ask:
        await ask.classify("good")
        await ask.classify_batch(["good"])
        await ask.model()
        assert [answer async for answer in ask.classify_stream(["good"])] == [GOOD]
    assert server.contract.authorization == ["Bearer secret"] * 4


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
        with pytest.raises(ValueError, match="'truncate' or 'reject'"):
            await ask.classify("good", overlength="cut")
        with pytest.raises(ValueError, match="window_texts is 0"):
            ask.classify_stream(["good"], window_texts=0)


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout_seconds": 0}, "timeout_seconds is 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds is nan"),
        ({"retries": 5}, "give 0 to 4"),
        ({"root_certificates": b"pem"}, "need tls=True"),
        ({"token": "secret\n"}, "printable ASCII"),
    ],
)
def test_wrong_options(make: type[Client], options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make("127.0.0.1:1", **options)  # type: ignore[arg-type]


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
