"""Tokens, metrics, ids and the end of calls: the same code as for the contract."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from valence.v1.sentiment_pb2 import BatchClassifyRequest
from valence_service.core.call import RpcSystem, Telemetry
from valence_service.telemetry.traces import Traces
from valence_service.transports.auth import Authenticator, Tokens
from valence_service.transports.open_inference import open_inference_pb2 as pb

from tests.support.server import environment
from tests.support.waiting import until
from tests.transports.open_inference.conftest import (
    MODEL,
    SERVICE_NAME,
    infer_request,
    method,
    started_with_protocol,
    tensors,
)

TOKEN = "correct-horse-battery-staple"
HEALTH = ("ServerLive", "ServerReady")
ALL = {
    "ServerLive": pb.ServerLiveRequest(),
    "ServerReady": pb.ServerReadyRequest(),
    "ModelReady": pb.ModelReadyRequest(name=MODEL),
    "ServerMetadata": pb.ServerMetadataRequest(),
    "ModelMetadata": pb.ModelMetadataRequest(name=MODEL),
    "ModelInfer": infer_request(["good"]),
    "ModelConfig": pb.ModelConfigRequest(name=MODEL),
    "RepositoryIndex": pb.RepositoryIndexRequest(),
}


class Counted:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.refusals: list[str] = []

    def ended(self, method: str, code: str, seconds: float) -> None:
        assert seconds > 0
        self.calls.append((method, code))

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)


async def code(channel: grpc.aio.Channel, name: str, *tokens: str) -> str:
    metadata = [("authorization", f"Bearer {token}") for token in tokens]
    try:
        await method(channel, name)(ALL[name], metadata=metadata, timeout=20)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.parametrize("public_health", [True, False])
async def test_every_call_needs_a_token_but_public_health(
    tmp_path: Path, *, public_health: bool
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    meter = Counted()
    async with started_with_protocol(
        authenticator=Authenticator(Tokens(tokens)),
        public_health=public_health,
        telemetry=Telemetry(meter),
    ) as service:
        without = {name: await code(service.channel, name) for name in ALL}
        assert without == {
            name: "OK" if public_health and name in HEALTH else "UNAUTHENTICATED" for name in ALL
        }
        # Under the method's own name, not as that of a stranger.
        await until(lambda: len(meter.calls) == len(ALL))
        assert sorted(meter.calls) == sorted(without.items())
        assert {await code(service.channel, name, TOKEN) for name in ALL} == {"OK"}


async def test_calls_and_refusals_are_counted() -> None:
    meter = Counted()
    async with started_with_protocol(telemetry=Telemetry(meter)) as service:
        infer = method(service.channel, "ModelInfer")
        await infer(infer_request(["good"]))
        for bad in (infer_request(["good"], model_name="other"), infer_request(["good", ""])):
            with pytest.raises(grpc.aio.AioRpcError):
                await infer(bad)
        await until(lambda: len(meter.calls) == 3)
    codes = ["OK", "NOT_FOUND", "INVALID_ARGUMENT"]
    assert meter.calls == [("ModelInfer", code) for code in codes]
    assert meter.refusals == ["unknown_model", "invalid_field"]


async def test_answers_are_those_of_batch_classify() -> None:
    texts = ["so good", "so bad"]
    async with started_with_protocol() as service:
        batch = await service.stub.BatchClassify(BatchClassifyRequest(texts=texts))
        found = tensors(await method(service.channel, "ModelInfer")(infer_request(texts)))
    sentiments = [result.sentiment for result in batch.results]
    assert found["label"][1] == [s.label.encode() for s in sentiments]
    assert found["score"][1] == [s.score for s in sentiments]
    assert found["valence"][1] == [s.valence for s in sentiments]


def test_spans_name_the_service_of_their_method() -> None:
    traces = Traces("valence.v1.SentimentService", [], {"ModelInfer": SERVICE_NAME})
    spans: list[Any] = [
        traces.begin(name, {}, RpcSystem.GRPC)._span for name in ("ModelInfer", "Classify")
    ]
    assert [span.name for span in spans] == [
        f"{SERVICE_NAME}/ModelInfer",
        "valence.v1.SentimentService/Classify",
    ]
    assert [span.attributes["rpc.service"] for span in spans] == [
        SERVICE_NAME,
        "valence.v1.SentimentService",
    ]


async def test_the_request_id_comes_back() -> None:
    async with started_with_protocol() as service:
        call = method(service.channel, "ModelInfer")(
            infer_request(["good"]), metadata=[("x-request-id", "mine")]
        )
        await call
        assert dict(await call.trailing_metadata())["x-request-id"] == "mine"


async def test_a_caller_who_leaves_takes_the_work_along() -> None:
    async with started_with_protocol() as service:
        service.classifier.hold()
        infer = method(service.channel, "ModelInfer")
        running = asyncio.ensure_future(infer(infer_request(["running"])))
        await service.classifier.started()
        leaving: Any = infer(infer_request(["leaving"] * 2))
        await until(lambda: service.batcher.queued_texts == 2)
        leaving.cancel()
        await until(lambda: service.batcher.queued_texts == 0)
        service.classifier.release()
        await running
        assert service.classifier.seen == ["running"]


WIRE = """
import asyncio, sys
from valence_service.arguments import read_settings
from valence_service.wiring import wire

async def main():
    for arguments in ([], ["--open-inference"]):
        wire(read_settings(["--port", "0", *arguments]))
        print(any("open_inference" in name for name in sys.modules))

asyncio.run(main())
"""


def test_nothing_is_imported_unless_it_is_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WIRE], capture_output=True, text=True, check=False, env=environment()
    )
    assert (done.stdout.split(), done.returncode) == (["False", "True"], 0), done.stderr


async def test_without_the_service_its_calls_are_unimplemented() -> None:
    async with started_with_protocol(services=lambda *_: ()) as service:
        assert await code(service.channel, "ServerLive") == "UNIMPLEMENTED"
        send: Any = service.channel.unary_unary(f"/{SERVICE_NAME}/ModelInfer")
        with pytest.raises(grpc.aio.AioRpcError):
            await send(b"")
