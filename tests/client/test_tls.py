"""A server with a certificate of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

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


@pytest.fixture
async def address(authority: Authority) -> AsyncIterator[str]:
    running = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Contract(), running)
    pair = authority.pair()
    credentials = grpc.ssl_server_credentials([(pair.key, pair.certificate)])
    port = running.add_secure_port("localhost:0", credentials)
    await running.start()
    yield f"localhost:{port}"
    await running.stop(0)


async def test_certificate_that_is_trusted(kind: str, address: str, authority: Authority) -> None:
    async with twins.opened(
        kind, address, tls=True, root_certificates=authority.certificate, token="secret"
    ) as ask:
        assert (await ask.classify("good")).label == "POSITIVE"


async def test_certificate_that_is_not_trusted(kind: str, address: str) -> None:
    async with twins.opened(kind, address, tls=True, retries=0) as ask:
        with pytest.raises(Unavailable, match=f"no server answers at {address}"):
            await ask.classify("good")
