"""How the service ends: no accepted call is lost, and none hangs."""

from __future__ import annotations

import asyncio
import itertools
import signal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.support.server import Server, serving
from tests.support.stubs import async_stub

CALLERS = 32


async def ended(server: Server, signum: int) -> int:
    server.process.send_signal(signum)
    return await asyncio.to_thread(server.process.wait, 30)


async def test_sigterm_under_load_loses_no_call(two_labels: str) -> None:
    with serving("--model", two_labels, "--grace-seconds", "10") as server:
        answered = asyncio.Event()
        outcomes: list[grpc.StatusCode] = []

        async def caller() -> None:
            while True:
                try:
                    await stub.Classify(pb.ClassifyRequest(text="the film was good " * 8))
                    outcomes.append(grpc.StatusCode.OK)
                    answered.set()
                except grpc.aio.AioRpcError as error:
                    outcomes.append(error.code())
                    return

        def stream_texts() -> grpc.StatusCode:
            # Of the two stacks the one in threads: grpc.aio's client says INTERNAL where the end
            # meets a write under way.
            texts = (pb.StreamClassifyRequest(id=str(n), text="good") for n in itertools.count(1))
            with grpc.insecure_channel(server.address) as channel:
                call = sentiment_pb2_grpc.SentimentServiceStub(channel).StreamClassify(texts)
                try:
                    for number, response in enumerate(call, start=1):
                        assert response.id == str(number)
                except grpc.RpcError:
                    return call.code()
            return grpc.StatusCode.OK

        async with grpc.aio.insecure_channel(server.address) as channel, asyncio.timeout(60):
            stub = async_stub(channel)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            tasks = [asyncio.create_task(caller()) for _ in range(CALLERS)]
            streaming = asyncio.create_task(asyncio.to_thread(stream_texts))
            await answered.wait()
            exited = asyncio.create_task(ended(server, signal.SIGTERM))
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            await asyncio.gather(*tasks)
            assert await streaming is grpc.StatusCode.UNAVAILABLE
            assert await exited == 0
        refused = [code for code in outcomes if code is not grpc.StatusCode.OK]
        assert refused == [grpc.StatusCode.UNAVAILABLE] * CALLERS


async def test_idle_streams_and_watches_do_not_hold_up_the_end(two_labels: str) -> None:
    with serving("--model", two_labels, "--grace-seconds", "600") as server:
        async with grpc.aio.insecure_channel(server.address) as channel, asyncio.timeout(60):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            await watch.read()
            stream = async_stub(channel).StreamClassify()
            await stream.write(pb.StreamClassifyRequest(id="1", text="good"))
            await stream.read()
            assert await ended(server, signal.SIGINT) == 0
            assert await stream.code() is grpc.StatusCode.UNAVAILABLE
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_calls_whose_message_does_not_come_do_not_hold_up_the_end(two_labels: str) -> None:
    with serving("--model", two_labels, "--grace-seconds", "600") as server:
        async with grpc.aio.insecure_channel(server.address) as channel, asyncio.timeout(60):
            begin: grpc.aio.StreamUnaryMultiCallable[bytes, bytes]
            begin = channel.stream_unary("/valence.v1.SentimentService/Classify")
            check: grpc.aio.StreamUnaryMultiCallable[bytes, bytes]
            check = channel.stream_unary("/grpc.health.v1.Health/Check")
            reflect: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
            reflect = channel.stream_stream(
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
            )
            left_open = [begin(), check(), reflect()]
            # Those have arrived once a later call has its answer.
            await async_stub(channel).Classify(pb.ClassifyRequest(text="good"))
            assert await ended(server, signal.SIGTERM) == 0
            codes = [await call.code() for call in left_open]
            assert codes == [grpc.StatusCode.UNAVAILABLE] * len(left_open)


async def test_a_second_signal_ends_at_once(two_labels: str) -> None:
    with serving("--model", two_labels, "--grace-seconds", "600", "--workers", "1") as server:
        server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.event, "draining")
        assert await ended(server, signal.SIGINT) == -signal.SIGINT
