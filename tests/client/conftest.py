"""Servers, with and without TLS, and a client of each kind."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2_grpc

from tests.client import twins
from tests.client.contract import Contract
from tests.support.certificates import Authority

SERVICE = "valence.v1.SentimentService"


@dataclass
class Serving:
    """A running server."""

    address: str
    contract: Contract
    health: Any

    async def tell(self, *, serving: bool) -> None:
        """Tell those who watch its health."""
        statuses = health_pb2.HealthCheckResponse
        await self.health.set(SERVICE, statuses.SERVING if serving else statuses.NOT_SERVING)


@asynccontextmanager
async def _served() -> AsyncIterator[Serving]:
    contract = Contract()
    health_servicer = health.aio.HealthServicer()
    running = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(contract, running)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, running)
    port = running.add_insecure_port("127.0.0.1:0")
    serving = Serving(f"127.0.0.1:{port}", contract, health_servicer)
    await serving.tell(serving=True)
    await running.start()
    yield serving
    contract.released.set()
    await running.stop(0)


@pytest.fixture
async def server() -> AsyncIterator[Serving]:
    async with _served() as serving:
        yield serving


@pytest.fixture
async def another() -> AsyncIterator[Serving]:
    async with _served() as serving:
        yield serving


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Signs the certificates of servers, and of the callers whom they know."""
    return Authority()


@pytest.fixture
def roots(authority: Authority, tmp_path: Path) -> Path:
    """The authority's certificate, in a file."""
    path = tmp_path / "roots.pem"
    path.write_bytes(authority.certificate)
    return path


@asynccontextmanager
async def encrypting(
    authority: Authority,
    name: str = "127.0.0.1",
    *,
    expired: bool = False,
    callers: bytes | None = None,
) -> AsyncIterator[str]:
    """Lets in everybody, or those whom the authority ``callers`` has signed; it has no health.

    Its address is a number: of "localhost", clients also try the address that refuses.
    """
    running = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Contract(), running)
    pair = authority.pair(name, expired=expired)
    credentials = grpc.ssl_server_credentials(
        [(pair.key, pair.certificate)], callers, require_client_auth=callers is not None
    )
    port = running.add_secure_port("127.0.0.1:0", credentials)
    await running.start()
    yield f"127.0.0.1:{port}"
    await running.stop(0)


@pytest.fixture
async def encrypted(authority: Authority) -> AsyncIterator[str]:
    """The address of a server with TLS."""
    async with encrypting(authority) as address:
        yield address


@pytest.fixture
async def named(authority: Authority) -> AsyncIterator[str]:
    """The address of one whose certificate is for localhost."""
    async with encrypting(authority, "localhost") as address:
        yield address


@pytest.fixture
async def guarded(authority: Authority) -> AsyncIterator[str]:
    """The address of one that lets in nobody without a certificate."""
    async with encrypting(authority, callers=authority.certificate) as address:
        yield address


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address that is taken, where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(params=["sync", "aio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Open = Callable[..., AbstractAsyncContextManager[twins.Asked]]


@pytest.fixture
def client(kind: str, server: Serving) -> Open:
    """Opens a client of each kind for the server."""

    def opened(**options: Any) -> AbstractAsyncContextManager[twins.Asked]:
        return twins.opened(kind, server.address, **options)

    return opened
