"""Load reports: what they say, who carries them, and that gRPC's own balancing follows them."""

from __future__ import annotations

import asyncio
import json
import struct

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from valence.v1 import sentiment_pb2 as pb
from valence_client import AsyncClient
from valence_service.transports.grpc import load_reports
from valence_service.transports.grpc.load_reports import SERVICE_NAME, TRAILER

from tests.faults import http2
from tests.support.stubs import async_stub
from tests.support.waiting import until
from tests.transports.grpc.conftest import Service, started

STREAM = f"/{SERVICE_NAME}/StreamCoreMetrics"


def decoded(report: bytes) -> tuple[float, float]:
    """The requests a second and the utilization of a report."""
    first, requests, second, utilization = struct.unpack("<BdBd", report)
    assert (first, second) == (0x31, 0x49)
    return requests, utilization


@pytest.mark.parametrize("text", ["good", ""])
async def test_answers_and_refusals_carry_the_report(service: Service, text: str) -> None:
    await until(lambda: service.transport._loads.trailers)
    request = pb.ClassifyRequest(text=text).SerializeToString()
    sent = b"".join([*http2.opening(), *http2.call("Classify", [request])])
    # gRPC's own client keeps this trailer to itself, and its server encodes the value.
    assert TRAILER.encode() in await http2.said(service.address, sent, until=b"x-request-id")


async def test_the_report_follows_the_load(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = service.transport._loads
    monkeypatch.setattr(load_reports, "PERIOD_SECONDS", 0.001)
    monkeypatch.setattr(load_reports, "NEWEST", 0.5)
    service.classifier.hold()
    call = service.stub.Classify(pb.ClassifyRequest(text="good"))
    await until(lambda: loads.report and decoded(loads.report)[1] > 0.9)
    service.classifier.release()
    await call
    await until(lambda: decoded(loads.report)[1] < 0.1)


async def test_a_server_that_refuses_does_not_seem_to_have_room(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_reports, "PERIOD_SECONDS", 0.001)
    loads = service.transport._loads
    await service.stub.Classify(pb.ClassifyRequest(text="good"))
    await until(lambda: loads.report and decoded(loads.report)[0] > 0.1)
    service.readiness.set(serving=False)
    await until(lambda: decoded(loads.report) == (load_reports.LEAST_REQUESTS_PER_SECOND, 1.0))
    service.readiness.set(serving=True)
    await until(lambda: decoded(loads.report)[1] < 1)


async def test_waiting_texts_weigh_more_than_busy_replicas(service: Service) -> None:
    await service.stub.BatchClassify(pb.BatchClassifyRequest(texts=["good", "bad"]))
    service.classifier.hold()
    calls = [service.stub.Classify(pb.ClassifyRequest(text="computed"))]
    await service.classifier.started()
    calls += [service.stub.Classify(pb.ClassifyRequest(text=str(number))) for number in range(11)]
    await until(lambda: service.batcher.queued_texts == 11)
    await until(lambda: service.sentiment.utilization > 1)
    service.classifier.release()
    await asyncio.gather(*calls)
    assert service.sentiment.utilization < 1


async def test_a_stream_of_reports(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_reports, "LEAST_INTERVAL_SECONDS", 0.01)
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = service.channel.unary_stream(STREAM)
    interval = Duration(nanos=20_000_000).SerializeToString()
    for request in (b"", b"\x0a" + bytes([len(interval)]) + interval):
        reports = method(request)
        for _ in range(3):
            report = await reports.read()
            assert isinstance(report, bytes)
        reports.cancel()
    bad = method(b"\x0a\x05\xff")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bad.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    reports = method(b"")
    await reports.read()
    service.readiness.end()
    async with asyncio.timeout(10):
        while await reports.read() is not grpc.aio.EOF:
            pass


async def test_grpcs_own_balancing_sends_calls_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load_reports, "PERIOD_SECONDS", 0.01)
    policy = {"blackoutPeriod": "0s", "weightUpdatePeriod": "0.1s"}
    config = {"loadBalancingConfig": [{"weighted_round_robin": policy}]}
    async with started() as loaded, started() as idle:
        loaded.transport._loads._utilization_now = lambda: 0.9
        idle.transport._loads._utilization_now = lambda: 0.1
        target = f"ipv4:{loaded.address},{idle.address}"
        options = [("grpc.service_config", json.dumps(config))]
        async with grpc.aio.insecure_channel(target, options) as channel:
            stub = async_stub(channel)
            async with asyncio.timeout(30):
                # The first calls are in turn: no weights are known yet.
                while len(idle.classifier.seen) <= 3 * len(loaded.classifier.seen) + 20:
                    await stub.Classify(pb.ClassifyRequest(text="good"))
        assert loaded.classifier.seen


async def test_the_client_takes_it() -> None:
    async with started() as one, started() as other:
        addresses = [one.address, other.address]
        async with AsyncClient(addresses, load_balancing="weighted_round_robin") as client:
            for _ in range(10):
                assert (await client.classify("good")).label == "good"
        assert one.classifier.seen
        assert other.classifier.seen
    with pytest.raises(ValueError, match="load_balancing is 'random': choose"):
        AsyncClient(load_balancing="random")  # type: ignore[arg-type]
