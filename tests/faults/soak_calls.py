"""What the soak's callers share, and those of single calls: each does one thing once."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import grpc
from google.rpc.status_pb2 import Status
from valence.v1 import sentiment_pb2 as pb

from tests.faults.callers import outcome
from tests.faults.ledger import Ledger
from tests.faults.misbehaving import RAISES, SECRET
from tests.support.errors import Told

if TYPE_CHECKING:
    from valence.v1.sentiment_pb2_grpc import SentimentServiceAsyncStub

Result: TypeAlias = "pb.BatchClassifyResult | pb.StreamClassifyResponse"

POISON = f"the film was {RAISES}"
INVALID = ("", " \n", "x" * 70_000)
# What answers may differ by: the kernels that compute one depend on what else is computed.
TOLERANCE = 0.05
# After what is dealt with so soon that, again and again, it would leave no time for the others.
PAUSE_SECONDS = 0.01


@dataclass
class Soak:
    """What all callers share."""

    address: str
    stub: SentimentServiceAsyncStub
    slow_stub: SentimentServiceAsyncStub
    """Of a connection on which nothing is read ahead."""
    ledger: Ledger = field(default_factory=Ledger)
    right: dict[str, pb.Sentiment] = field(default_factory=dict)
    """What was answered to each text while it was quiet."""
    chance: random.Random = field(default_factory=random.Random)

    async def learn(self, texts: list[str]) -> None:
        """Ask for the right answers, one after the other."""
        for text in texts:
            self.right[text] = (await self.stub.Classify(pb.ClassifyRequest(text=text))).sentiment

    def some_text(self) -> str:
        """One with a right answer."""
        return self.chance.choice(list(self.right))

    def any_text(self) -> str:
        """Mostly one with a right answer."""
        return (
            self.chance.choice([POISON, *INVALID])
            if self.chance.random() < 0.05
            else (self.some_text())
        )

    def check(self, kind: str, text: str, got: pb.Sentiment | Status) -> None:
        """Note what one text got: its own answer, or the error that it deserves."""
        if isinstance(got, Status):
            said = Told(got)
            code = next(code.name for code in grpc.StatusCode if code.value[0] == said.code)
            deserved = {POISON: "MODEL_FAILED"} | dict.fromkeys(INVALID, "INVALID_FIELD")
            if said.reason == deserved.get(text) and SECRET not in said.message:
                self.ledger.got(kind, code)
            else:
                self.ledger.got_wrong(kind, f"{text[:40]!r} got {got}")
            return
        right = self.right.get(text)
        if right is None or not _alike(got, right):
            self.ledger.got_wrong(kind, f"{text[:40]!r} got {got}")
        else:
            self.ledger.got(kind, "OK")


def _alike(one: pb.Sentiment, other: pb.Sentiment) -> bool:
    return (
        one.tokens_total == other.tokens_total
        and abs(one.valence - other.valence) < 2 * TOLERANCE
        and len(one.scores) == len(other.scores)
    )


def result_of(result: Result) -> pb.Sentiment | Status:
    """Of the two the one that is set."""
    return result.sentiment if result.WhichOneof("result") == "sentiment" else result.error


async def _unary(
    soak: Soak,
    kind: str,
    text: str,
    *,
    may: tuple[grpc.StatusCode, ...] = (),
    timeout_seconds: float | None = None,
    cancel_seconds: float | None = None,
) -> None:
    call = soak.stub.Classify(pb.ClassifyRequest(text=text), timeout=timeout_seconds)
    if cancel_seconds is not None:
        asyncio.get_running_loop().call_later(cancel_seconds, call.cancel)
    got = await outcome(call)
    if isinstance(got, pb.ClassifyResponse):
        soak.check(kind, text, got.sentiment)
    elif got is None:
        soak.ledger.got(kind, "CANCELLED")
    elif got.code() in may:
        soak.ledger.got(kind, got.code().name)
    else:
        trailers = dict(got.trailing_metadata() or ())
        details = trailers.get("grpc-status-details-bin")
        if isinstance(details, bytes):
            soak.check(kind, text, Status.FromString(details))
        else:
            soak.ledger.got_wrong(kind, got)


async def unary(soak: Soak) -> None:
    await _unary(soak, "unary", soak.some_text())


async def deadlines(soak: Soak) -> None:
    await _unary(
        soak,
        "with a deadline",
        soak.some_text(),
        may=(grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED),
        timeout_seconds=soak.chance.choice([0.001, 0.01, 0.05, 0.2, 20.0]),
    )


async def cancels(soak: Soak) -> None:
    await _unary(
        soak,
        "cancelled",
        soak.some_text(),
        may=(grpc.StatusCode.CANCELLED,),
        cancel_seconds=soak.chance.uniform(0, 0.4),
    )


async def invalid(soak: Soak) -> None:
    await _unary(soak, "invalid", soak.chance.choice(INVALID))
    await asyncio.sleep(PAUSE_SECONDS)


async def poison(soak: Soak) -> None:
    await _unary(soak, "poison", POISON)


async def batch(soak: Soak) -> None:
    texts = [soak.any_text() for _ in range(soak.chance.randint(1, 64))]
    response = await soak.stub.BatchClassify(pb.BatchClassifyRequest(texts=texts))
    for text, result in itertools.zip_longest(texts, response.results):
        soak.check("in a batch", text, result_of(result))
