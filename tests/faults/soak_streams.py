"""The soak's callers of streams: each has one stream, and the ledger learns what came of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

from valence.v1 import sentiment_pb2 as pb

from tests.faults.soak_calls import Soak, result_of

STREAM_TEXTS = 50
FEW_TEXTS = 50
LONG = "the film was good and the food was not " * 8
# In which a slow reader sends without reading. It is held back long before.
SLOW_SECONDS = 1.0


async def stream_in_order(soak: Soak) -> None:
    await _stream(soak, "in a stream, in order", pb.ORDER_REQUEST)


async def stream_when_ready(soak: Soak) -> None:
    await _stream(soak, "in a stream, when ready", pb.ORDER_READY)


async def _stream(soak: Soak, kind: str, order: pb.Order.ValueType) -> None:
    texts = [soak.any_text() for _ in range(STREAM_TEXTS)]
    came = []
    async for response in soak.stub.StreamClassify(_requests(texts, order)):
        came.append(int(response.id))
        soak.check(kind, texts[int(response.id)], result_of(response))
    if (came if order == pb.ORDER_REQUEST else sorted(came)) != list(range(STREAM_TEXTS)):
        soak.ledger.got_wrong(kind, f"the responses are {came}")


async def _requests(
    texts: list[str], order: pb.Order.ValueType = pb.ORDER_REQUEST
) -> AsyncIterator[pb.StreamClassifyRequest]:
    options = pb.StreamOptions(order=order)
    for number, text in enumerate(texts):
        yield pb.StreamClassifyRequest(id=str(number), text=text, options=options)


async def slow_reader(soak: Soak) -> None:
    """Sends long texts for a while without reading, then reads a few and leaves."""
    call = soak.slow_stub.StreamClassify()

    async def send() -> None:
        for number in itertools.count():
            await call.write(pb.StreamClassifyRequest(id=str(number), text=LONG))

    sending = asyncio.create_task(send())
    await asyncio.wait([sending], timeout=SLOW_SECONDS)
    for number in range(FEW_TEXTS):
        response = await call.read()
        if isinstance(response, pb.StreamClassifyResponse) and response.id == str(number):
            soak.ledger.got("to a slow reader", "OK")
        else:
            soak.ledger.got_wrong("to a slow reader", response)
    call.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def half_closed(soak: Soak) -> None:
    """Sends, says that this was all, and leaves without reading or after some answers."""
    texts = [soak.some_text() for _ in range(FEW_TEXTS)]
    call = soak.stub.StreamClassify(_requests(texts))
    for text in texts[: soak.chance.randrange(FEW_TEXTS)]:
        response = await call.read()
        assert isinstance(response, pb.StreamClassifyResponse), response
        soak.check("half closed", text, result_of(response))
    call.cancel()
    soak.ledger.got("half closed", "CANCELLED")
