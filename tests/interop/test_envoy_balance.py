"""Envoy in front of three servers, as deploy/envoy/balance.yaml sets it up."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from valence.v1 import sentiment_pb2 as pb
from valence_client import AsyncClient, Sentiment

from tests.interop.programs import ROOT
from tests.support.envoy import Envoy, enveloped
from tests.support.server import MODULE, Server, launched
from tests.support.stubs import async_stub
from tests.telemetry.scrape import scrape

pytestmark = pytest.mark.full
SERVERS = 3
# The same server with a model that takes its time.
SLOWED = """
import time
from valence_service.__main__ import main
from valence_service.backends.openvino import OpenVinoClassifier
classify = OpenVinoClassifier.classify
def slowly(self, texts, **options):
    time.sleep(0.05 * len(texts))
    return classify(self, texts, **options)
OpenVinoClassifier.classify = slowly
main()
"""


def configuration(addresses: list[str], *, blackout: str = "0s") -> str:
    """The file, with these servers, a free port, and weights that count from the start."""
    text = (ROOT / "deploy/envoy/balance.yaml").read_text()
    read: dict[str, Any] = yaml.safe_load(text)
    (listener,), (cluster,) = (
        read["static_resources"]["listeners"],
        read["static_resources"]["clusters"],
    )
    listener["address"]["socket_address"]["port_value"] = 0
    (endpoints,) = cluster["load_assignment"]["endpoints"]
    endpoints["lb_endpoints"] = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}
        for host, _, port in (address.rpartition(":") for address in addresses)
    ]
    (policy,) = cluster["load_balancing_policy"]["policies"]
    weights = policy["typed_extension_config"]["typed_config"]
    weights |= {"blackout_period": blackout, "weight_update_period": "0.1s"}
    return yaml.safe_dump(read)


class Fleet:
    """Three servers, and Envoy before them."""

    def __init__(self, model: str, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self.servers: list[Server] = []
        self.metrics: list[str] = []
        self.stack = ExitStack()

    def launch(self, *, port: str = "0", slowed: bool = False) -> Server:
        program = ("-c", SLOWED) if slowed else MODULE
        arguments = ("--model", self.model, "--precision", "f32", "--metrics-port", "0")
        return self.stack.enter_context(launched(*arguments, port=port, python=program))

    def ready(self, server: Server) -> str:
        """Wait until it serves; where it tells of itself."""
        facts = server.event("SERVING")
        server.address = facts["address"]
        return str(facts["metrics"])

    def open(self, *, slowed: int = 0) -> Envoy:
        self.servers = [self.launch(slowed=number < slowed) for number in range(SERVERS)]
        self.metrics = [self.ready(server) for server in self.servers]
        text = configuration([server.address for server in self.servers])
        return self.stack.enter_context(enveloped(text, "grpc", self.folder))

    def restart(self, number: int) -> None:
        """Replace a server by a new one on its port."""
        old = self.servers[number]
        assert old.end() == 0
        self.servers[number] = self.launch(port=old.address.rpartition(":")[2])
        self.metrics[number] = self.ready(self.servers[number])

    def calls(self, number: int) -> float:
        told = scrape(self.metrics[number])
        return told.value("valence_requests_total", method="Classify", code="OK")

    def streams(self, number: int) -> float:
        return scrape(self.metrics[number]).value("valence_streams_open")


@pytest.fixture
def fleet(two_labels: str, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(two_labels, tmp_path)
    with made.stack:
        yield made


async def until(condition: Callable[[], bool]) -> None:
    """Wait, for as long as the test may take: what is waited for has no event to offer."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def words(number: int) -> int:
    return 1 + number % 7


def text(number: int) -> str:
    """A text whose answer counts its words, and so tells whose answer it is."""
    return "good " * words(number)


class Load:
    """Single calls, batches and a stream, each checked; a failed call raises."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.over = False
        self.single = self.batches = self.streamed = 0

    async def unary(self, stub: Any) -> None:
        for number in itertools.count():
            if self.over:
                return
            answer = await stub.Classify(pb.ClassifyRequest(text=text(number)))
            assert answer.sentiment.tokens_total == words(number) + 2
            self.single += 1

    async def batch(self, stub: Any) -> None:
        for number in itertools.count():
            if self.over:
                return
            texts = [text(number + more) for more in range(5)]
            answer = await stub.BatchClassify(pb.BatchClassifyRequest(texts=texts))
            for more, result in enumerate(answer.results):
                assert result.sentiment.tokens_total == words(number + more) + 2
            self.batches += 1

    async def stream(self) -> None:
        def texts() -> Iterator[str]:
            for number in itertools.count():
                if self.over:
                    return
                yield text(number)

        async with AsyncClient(self.address, timeout_seconds=60) as client:
            async for outcome in client.classify_stream(texts(), window_texts=16):
                assert isinstance(outcome, Sentiment), outcome
                assert outcome.tokens_total == words(self.streamed) + 2
                self.streamed += 1

    async def goes_on(self) -> None:
        """Wait until each of the three has had answers from now on."""
        single, batches, streamed = self.single, self.batches, self.streamed
        await until(
            lambda: (
                self.single >= single + 5
                and self.batches >= batches + 5
                and self.streamed >= streamed + 40
            )
        )

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """All of it, until the block ends; its first failure ends the block."""
        # What is retried, Envoy retries.
        options = [("grpc.enable_retries", 0)]
        async with (
            asyncio.timeout(180),
            grpc.aio.insecure_channel(self.address, options) as channel,
        ):
            stub = async_stub(channel)
            async with asyncio.TaskGroup() as group:
                calls = [self.unary(stub), self.unary(stub), self.batch(stub), self.stream()]
                for call in calls:
                    group.create_task(call)
                await self.goes_on()
                yield
                await self.goes_on()
                self.over = True


async def test_a_slow_server_gets_its_share_and_no_more(fleet: Fleet) -> None:
    envoy = fleet.open(slowed=1)
    options = [("grpc.enable_retries", 0)]
    async with asyncio.timeout(120), grpc.aio.insecure_channel(envoy.address, options) as channel:
        stub = async_stub(channel)
        while True:
            for _ in range(20):
                await stub.Classify(pb.ClassifyRequest(text="good"))
            slow, *others = [fleet.calls(number) for number in range(SERVERS)]
            # The first calls are in turn: no weights are known yet.
            if min(others) > 3 * slow + 20:
                break
    assert slow > 0


async def test_the_calls_of_a_server_that_is_killed(fleet: Fleet) -> None:
    envoy = fleet.open()
    load = Load(envoy.address)
    async with load.run():
        (streaming,) = [number for number in range(SERVERS) if fleet.streams(number)]
        killed = fleet.servers[streaming]
        # Calls are under way there as it ends: the stream, and one at least for Envoy to retry.
        killed.process.send_signal(signal.SIGSTOP)
        await until(lambda: envoy.active(killed.address) >= 2)
        killed.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(killed.process.wait)
        await load.goes_on()
        await until(lambda: envoy.healthy() == SERVERS - 1)
    assert load.single > 0


async def test_servers_that_are_replaced_one_by_one(fleet: Fleet) -> None:
    envoy = fleet.open()
    load = Load(envoy.address)
    moved = 0
    async with load.run():
        for number in range(SERVERS):
            moved += bool(fleet.streams(number))
            await asyncio.to_thread(fleet.restart, number)
            await until(lambda: envoy.healthy() == SERVERS)
            await load.goes_on()
    assert moved
