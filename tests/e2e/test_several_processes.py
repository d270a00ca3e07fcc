"""``--processes``: several servers on one port, told, replaced and ended together."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import psutil
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence_client import AsyncClient

from tests.support.server import Server, launched, run
from tests.support.stubs import async_stub
from tests.support.waiting import until
from tests.telemetry.scrape import scrape

pytestmark = pytest.mark.full
PROCESSES = 2


@dataclass
class Group:
    """A supervisor, and the processes that it has started, by number."""

    server: Server
    told: dict[str, Any]
    pids: list[int]

    @property
    def address(self) -> str:
        return str(self.told["address"])

    def gone(self) -> bool:
        return not any(map(psutil.pid_exists, self.pids))


@contextmanager
def several(model: str, *arguments: str, processes: int = PROCESSES) -> Iterator[Group]:
    with launched("--model", model, "--processes", str(processes), *arguments) as server:
        told = server.event("supervising")
        assert told["processes"] == processes
        for number in range(processes):
            # One at a time at first, then the others in any order.
            serving = server.event("SERVING")
            assert number or serving["process"] == 0
            assert serving["address"] == told["address"]
        children = psutil.Process(server.process.pid).children()
        assert len(children) == processes
        yield Group(server, told, [child.pid for child in children])


def ports_to(group: Group) -> set[int]:
    """This process's own ports, of its connections to the group."""
    port = int(group.address.rpartition(":")[2])
    connections = psutil.Process().net_connections()
    return {one.laddr.port for one in connections if one.raddr and one.raddr.port == port}


async def pid_that_answers(channel: grpc.aio.Channel, group: Group) -> int:
    """Of the process that a channel connects to at its first call, which this is."""
    before = ports_to(group)
    await async_stub(channel).GetModel(pb.GetModelRequest())
    (port,) = ports_to(group) - before
    (pid,) = (
        pid
        for pid in group.pids
        for connection in psutil.Process(pid).net_connections()
        if connection.raddr and connection.raddr.port == port
    )
    return pid


async def test_they_share_connections_and_add_their_metrics_up(two_labels: str) -> None:
    with several(two_labels, "--metrics-port", "0", "--max-queue-texts", "100") as group:
        answering: set[int] = set()
        async with asyncio.timeout(60):
            while answering != set(group.pids):
                # A channel would take the connection of the one before it.
                own = [("grpc.use_local_subchannel_pool", 1)]
                async with grpc.aio.insecure_channel(group.address, own) as channel:
                    answering.add(await pid_that_answers(channel, group))
                    response = await async_stub(channel).Classify(pb.ClassifyRequest(text="good"))
                    assert response.sentiment.label
        told = await asyncio.to_thread(scrape, group.told["metrics"])
        assert told.value("valence_processes") == PROCESSES
        assert told.value("valence_processes_serving") == PROCESSES
        assert told.value("valence_serving") == 1
        assert told.value("valence_queue_max_texts") == 100 * PROCESSES
        asked = told.value("valence_requests_total", method="GetModel", code="OK")
        assert asked == told.value("valence_requests_total", method="Classify", code="OK")
        assert asked >= PROCESSES
        assert group.server.end(signal.SIGINT) == 0
        assert group.gone()


async def test_one_that_is_killed_is_replaced_and_costs_the_others_nothing(two_labels: str) -> None:
    with several(two_labels, "--metrics-port", "0") as group:
        async with grpc.aio.insecure_channel(group.address) as channel:
            survivor = await pid_that_answers(channel, group)
            (victim,) = set(group.pids) - {survivor}
            os.kill(victim, signal.SIGKILL)
            ended = await asyncio.to_thread(group.server.event, "process_ended")
            assert ended["exit_code"] == -signal.SIGKILL
            await async_stub(channel).Classify(pb.ClassifyRequest(text="good"))
            # No new connection goes to it before it serves again: every call is answered.
            back = threading.Event()

            def wait_for_it() -> None:
                assert group.server.event("SERVING")["process"] == ended["process"]
                back.set()

            waiting = asyncio.create_task(asyncio.to_thread(wait_for_it))
            while not back.is_set():
                async with AsyncClient(group.address, retries=0) as client:
                    assert (await client.classify("good")).label
            await waiting
        told = await asyncio.to_thread(scrape, group.told["metrics"])
        assert told.value("valence_process_restarts_total") == 1
        assert group.server.end() == 0


async def test_a_call_under_way_is_answered_when_they_end(two_labels: str) -> None:
    with several(two_labels) as group:
        async with grpc.aio.insecure_channel(group.address) as channel:
            texts = ["the film was good " * 30] * 64
            call = async_stub(channel).BatchClassify(pb.BatchClassifyRequest(texts=texts))
            await call.wait_for_connection()
            group.server.process.send_signal(signal.SIGTERM)
            assert len((await call).results) == len(texts)
        assert await asyncio.to_thread(group.server.process.wait, 30) == 0
        assert group.gone()


async def test_without_their_supervisor_they_end(two_labels: str) -> None:
    with several(two_labels) as group:
        group.server.process.kill()
        await until(group.gone)


async def test_a_second_signal_ends_all_at_once(two_labels: str) -> None:
    with several(two_labels, "--grace-seconds", "600") as group:
        async with grpc.aio.insecure_channel(group.address) as channel:
            held = async_stub(channel).StreamClassify()
            await held.write(pb.StreamClassifyRequest(id="1", text="good"))
            await held.read()
            group.server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(group.server.event, "draining")
            group.server.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(group.server.process.wait, 20) == -signal.SIGTERM
            await until(group.gone)


def test_one_that_cannot_start_ends_the_supervisor_with_its_code() -> None:
    done = run("--processes", "2", "--model", "/no/such/folder")
    assert done.returncode == 2
    assert "/no/such/folder" in done.stderr
    assert "process_ended" not in done.stderr


def test_a_port_that_another_group_has_is_not_shared(two_labels: str) -> None:
    with several(two_labels) as group:
        port = group.address.rpartition(":")[2]
        for processes in ("1", "2"):
            done = run("--port", port, "--processes", processes, "--model", two_labels)
            assert done.returncode == 1
            assert f"cannot listen on 127.0.0.1:{port}: address already in use" in done.stderr
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", int(port)))
