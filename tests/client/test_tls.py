"""A server with a certificate of its own, which may want one of its callers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from valence.v1 import sentiment_pb2_grpc
from valence_client import Unavailable

from tests.client import twins
from tests.client.contract import Contract
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@asynccontextmanager
async def served(authority: Authority, callers: bytes | None) -> AsyncIterator[int]:
    """The port of a server that lets in only callers whom that authority has signed, if given."""
    running = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Contract(), running)
    pair = authority.pair()
    credentials = grpc.ssl_server_credentials(
        [(pair.key, pair.certificate)], callers, require_client_auth=callers is not None
    )
    port = running.add_secure_port("localhost:0", credentials)
    await running.start()
    yield port
    await running.stop(0)


@pytest.fixture
async def port(authority: Authority) -> AsyncIterator[int]:
    async with served(authority, None) as port:
        yield port


@pytest.fixture
async def guarded_port(authority: Authority) -> AsyncIterator[int]:
    async with served(authority, authority.certificate) as port:
        yield port


async def test_certificate_that_is_trusted(kind: str, port: int, authority: Authority) -> None:
    async with twins.opened(
        kind, f"localhost:{port}", tls=True, root_certificates=authority.certificate, token="secret"
    ) as ask:
        assert (await ask.classify("good")).label == "POSITIVE"


async def test_certificate_that_is_not_trusted(kind: str, port: int) -> None:
    address = f"localhost:{port}"
    async with twins.opened(kind, address, tls=True, retries=0) as ask:
        with pytest.raises(Unavailable, match=f"no server answers at {address}"):
            await ask.classify("good")


async def test_certificate_of_another_name(kind: str, port: int, authority: Authority) -> None:
    # Several addresses have no name that a certificate could have.
    trusted = {"tls": True, "root_certificates": authority.certificate, "retries": 0}
    async with twins.opened(kind, [f"127.0.0.1:{port}"], **trusted) as ask:
        with pytest.raises(Unavailable):
            await ask.classify("good")
    async with twins.opened(kind, [f"127.0.0.1:{port}"], **trusted, server_name="localhost") as ask:
        assert (await ask.classify("good")).label == "POSITIVE"


async def test_certificate_of_the_caller(
    kind: str, guarded_port: int, authority: Authority, tmp_path: Path
) -> None:
    address = f"localhost:{guarded_port}"
    (tmp_path / "roots.pem").write_bytes(authority.certificate)
    trusted = {"tls": True, "root_certificates": tmp_path / "roots.pem", "retries": 0}
    async with twins.opened(kind, address, **trusted) as ask:
        with pytest.raises(Unavailable):
            await ask.classify("good")
    shown = authority.pair("caller")
    certificate, key = map(Path, shown.write(tmp_path))
    pairs = (
        {"client_certificate": certificate, "client_key": key},
        {"client_certificate": shown.certificate, "client_key": shown.key},
    )
    for pair in pairs:
        async with twins.opened(kind, address, **trusted, **pair) as ask:
            assert (await ask.classify("good")).label == "POSITIVE"
