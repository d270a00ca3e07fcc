"""The client's public types, as a program sees them. For mypy alone: nothing here ever runs.

An ignore is a promise too: mypy complains where the mistake that it names passes unseen.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import assert_never, assert_type

import grpc
from valence_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Document,
    InvalidText,
    Label,
    LabelScore,
    Limits,
    ModelFailed,
    ModelInfo,
    ModelRef,
    Outcome,
    Overloaded,
    PermissionDenied,
    Polarity,
    Sentence,
    Sentiment,
    ServerFailed,
    StreamItem,
    Timings,
    Unauthenticated,
    Unavailable,
    ValenceError,
)
from valence_client.testing import MODEL, Answer, Answers, FakeService, sentiment


def options() -> None:
    """Every option has its type, and all but the address are keyword-only."""
    Client()
    Client("127.0.0.1:50051", timeout_seconds=None, retries=0)
    Client(["10.0.0.1:50051", "10.0.0.2:50051"], compression="gzip")
    AsyncClient(
        "dns:///sentiment:50051",
        tls=True,
        root_certificates=Path("roots.pem"),
        client_certificate=b"certificate",
        client_key=b"key",
        server_name="sentiment",
        token=Path("token"),
        channel_options=[("grpc.max_receive_message_length", 1 << 20), ("grpc.ssl", "on")],
    )
    Client(token="secret")
    Client(token=lambda: "secret")

    Client("127.0.0.1:50051", 5.0)  # type: ignore[call-arg]
    Client(50051)  # type: ignore[arg-type]
    Client(compression="zip")  # type: ignore[arg-type]
    Client(token=b"secret")  # type: ignore[arg-type]
    Client(root_certificates="roots.pem")  # type: ignore[arg-type]


def blocking(texts: Iterator[str]) -> None:
    """The client for threads."""
    with Client() as client:
        assert_type(client, Client)
        assert_type(client.classify("Lovely."), Sentiment)
        assert_type(client.classify("Lovely.", overlength="reject"), Sentiment)
        assert_type(client.classify_batch(["Lovely."]), list[Sentiment | ValenceError])
        assert_type(client.classify_stream(texts), Generator[Outcome, None, None])
        assert_type(
            client.classify_stream(texts, in_order=False), Generator[StreamItem, None, None]
        )
        for outcome in client.classify_stream(texts, in_order=True, window_texts=8):
            told(outcome)
        assert_type(client.model(), ModelInfo)
        assert_type(client.classify_document("Lovely."), Document)
        client.wait_ready(5)

        client.classify(b"Lovely.")  # type: ignore[arg-type]
        client.classify("Lovely.", "reject")  # type: ignore[call-arg]
        client.classify("Lovely.", overlength="cut")  # type: ignore[arg-type]
        client.classify_batch([b"Lovely."])  # type: ignore[list-item]


async def asynchronous(texts: Iterator[str], arriving: AsyncIterator[str]) -> None:
    """The client for asyncio."""
    async with AsyncClient() as client:
        assert_type(client, AsyncClient)
        assert_type(await client.classify("Lovely."), Sentiment)
        assert_type(await client.classify_batch(["Lovely."]), list[Sentiment | ValenceError])
        assert_type(client.classify_stream(texts), AsyncGenerator[Outcome, None])
        assert_type(client.classify_stream(arriving), AsyncGenerator[Outcome, None])
        async for item in client.classify_stream(arriving, in_order=False):
            assert_type(item, StreamItem)
            assert_type(item.index, int)
            told(item.outcome)
        assert_type(await client.classify_document("Lovely."), Document)
        assert_type(await client.model(), ModelInfo)
        await client.wait_ready(timeout_seconds=5)

        client.classify_stream(7)  # type: ignore[call-overload]


def only_async_texts_are_wrong(client: Client, arriving: AsyncIterator[str]) -> None:
    """The client for threads reads no async iterable."""
    client.classify_stream(arriving)  # type: ignore[call-overload]


def told(outcome: Outcome) -> str:
    """An outcome is one of two, and a match on them is complete."""
    match outcome:
        case Sentiment():
            return outcome.label
        case ValenceError():
            return outcome.reason
        case _:
            assert_never(outcome)


def results(answer: Sentiment, model: ModelInfo) -> None:
    """The fields of what is answered."""
    assert_type(answer.label, str)
    assert_type(answer.score, float)
    assert_type(answer.scores, tuple[LabelScore, ...])
    assert_type(answer.polarity, Polarity)
    assert_type(answer.valence, float | None)
    assert_type(answer.tokens_total, int)
    assert_type(answer.tokens_used, int)
    assert_type(answer.tokens_unknown, int)
    assert_type(answer.layers_used, int)
    assert_type(answer.truncated, bool)
    assert_type(answer.model, ModelRef)
    assert_type(answer.timings, Timings | None)
    assert_type(model.labels, tuple[Label, ...])
    assert_type(model.labels[0].valence, float | None)
    assert_type(model.limits, Limits)
    assert_type(model.limits.max_batch_texts, int)

    answer.score = 1.0  # type: ignore[misc]
    1 + answer.valence  # type: ignore[operator]


def documents(document: Document) -> None:
    """The fields of a document."""
    assert_type(document.sentiment, Sentiment)
    assert_type(document.sentences, tuple[Sentence, ...])
    assert_type(document.sentences[0].text, str)
    assert_type(document.sentences[0].begin, int)
    assert_type(document.mixed, float | None)


def errors() -> None:
    """Every error is a ValenceError, and knows what its class says."""
    try:
        Client().classify("Lovely.")
    except InvalidText as error:
        assert_type(error.field, str)
        assert_type(error.description, str)
    except Overloaded as error:
        assert_type(error.retry_after_seconds, float | None)
    except ModelFailed as error:
        assert_type(error.incident, str)
    except (Unavailable, DeadlineExceeded, Unauthenticated, PermissionDenied) as error:
        assert_type(error.reason, str)
    except ValenceError as error:
        assert_type(error.code, grpc.StatusCode)
    known: list[type[ValenceError]] = [ServerFailed, ModelFailed]
    assert_type(known[0]("no", reason="BROKEN"), ValenceError)


def answer_by_text(text: str) -> float:
    """One of the ways to give a fake service its answers."""
    return float(len(text))


def testing() -> None:
    """The fake service takes one answer, a mapping or a function."""
    answers: dict[str, Answer] = {
        "Lovely.": 0.9,
        "Awful.": sentiment(-0.8),
        "Broken.": ModelFailed("no"),
    }
    given: list[Answers] = [1.0, answers, answer_by_text, Unavailable("not now")]
    with FakeService(given[0], model=MODEL) as service:
        assert_type(service, FakeService)
        assert_type(service.address, str)
        assert_type(service.texts, list[str])
        service.answers = {"Lovely.": 0.9}
        service.fail(Unavailable("on its way out"), calls=2)

    FakeService("Lovely.")  # type: ignore[arg-type]
    FakeService(1.0, MODEL)  # type: ignore[call-arg]
