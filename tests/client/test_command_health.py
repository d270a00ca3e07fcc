"""``valence health`` and ``valence watch``."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.client.command import run, start
from tests.client.conftest import SERVICE, Serving
from tests.client.contract import info, status

LINE_SECONDS = 20


@asynccontextmanager
async def health_alone(*services: str, port: int = 0) -> AsyncIterator[int]:
    """A server that has nothing but the health of some services; its port."""
    servicer = health.aio.HealthServicer()
    for service in services:
        await servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    yield bound
    await server.stop(0)


async def told(watching: Process) -> str:
    """The next status that is printed."""
    assert watching.stdout is not None
    line = await asyncio.wait_for(watching.stdout.readline(), LINE_SECONDS)
    return line.decode().split()[1]


async def test_exit_code_is_the_health(server: Serving) -> None:
    assert await run("health", "--address", server.address) == (0, "SERVING\n", "")
    await server.tell(serving=False)
    assert await run("health", "--address", server.address) == (1, "NOT_SERVING\n", "")


async def test_needs_neither_model_nor_token(server: Serving) -> None:
    server.contract.model = status(grpc.StatusCode.UNAUTHENTICATED, "no token", info("NO"))
    assert (await run("health", "--address", server.address))[0] == 0
    assert server.contract.requests == []


async def test_no_server(refusing: str) -> None:
    code, out, err = await run("health", "--address", refusing)
    assert (code, out) == (1, "")
    assert err.startswith(f"valence: no server answers at {refusing}")


async def test_a_server_of_something_else() -> None:
    async with health_alone() as port:
        code, out, err = await run("health", "--address", f"127.0.0.1:{port}")
        watched = await run("watch", "--address", f"127.0.0.1:{port}", "--timeout-seconds", "1")
    assert (code, out) == (1, "")
    assert "NOT_FOUND" in err
    assert (watched[0], watched[1].split()[1:]) == (0, ["SERVICE_UNKNOWN"])


async def test_watch_prints_each_change(server: Serving) -> None:
    watching = await start("watch", "--address", server.address)
    assert await told(watching) == "SERVING"
    await server.tell(serving=False)
    assert await told(watching) == "NOT_SERVING"
    await server.tell(serving=True)
    assert await told(watching) == "SERVING"
    watching.send_signal(signal.SIGINT)
    assert await watching.communicate() == (b"", b"")
    assert watching.returncode == 130


async def test_watch_until_serving(server: Serving) -> None:
    await server.tell(serving=False)
    watching = await start("watch", "--until-serving", "--address", server.address)
    assert await told(watching) == "NOT_SERVING"
    await server.tell(serving=True)
    assert await told(watching) == "SERVING"
    assert await watching.wait() == 0


async def test_watch_outlives_the_server() -> None:
    async with health_alone(SERVICE) as port:
        watching = await start("watch", "--address", f"127.0.0.1:{port}")
        assert await told(watching) == "SERVING"
    assert await told(watching) == "UNREACHABLE"
    async with health_alone(SERVICE, port=port):
        assert await told(watching) == "SERVING"
        watching.send_signal(signal.SIGTERM)
        out, _ = await watching.communicate()  # grpc has its own word on the lost connection
        assert out == b""
    assert watching.returncode == 143


async def test_watch_gives_up(refusing: str) -> None:
    code, out, err = await run(
        "watch", "--until-serving", "--timeout-seconds", "3", "--address", refusing
    )
    assert (code, out.split()[1:]) == (1, ["UNREACHABLE"])
    assert err.startswith(f"valence: no server answers at {refusing}")
    assert err.count("\n") == 1
