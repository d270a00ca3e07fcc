"""A server with a certificate of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from valence.v1 import sentiment_pb2_grpc
from valence_client import Unavailable

from tests.client import twins
from tests.client.contract import Contract

OPENSSL = shutil.which("openssl") or ""

pytestmark = pytest.mark.skipif(not OPENSSL, reason="makes its certificate with openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A key, and a certificate of localhost that signs itself."""
    folder = tmp_path_factory.mktemp("certificate")
    key, signed = folder / "key.pem", folder / "certificate.pem"
    make = f"{OPENSSL} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [*make.split(), *subject.split(), "-keyout", key, "-out", signed],
        check=True,
        capture_output=True,
    )
    return Path(key).read_bytes(), Path(signed).read_bytes()


@pytest.fixture
async def address(certificate: tuple[bytes, bytes]) -> AsyncIterator[str]:
    running = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Contract(), running)
    credentials = grpc.ssl_server_credentials([certificate])
    port = running.add_secure_port("localhost:0", credentials)
    await running.start()
    yield f"localhost:{port}"
    await running.stop(0)


async def test_certificate_that_is_trusted(
    kind: str, address: str, certificate: tuple[bytes, bytes]
) -> None:
    async with twins.opened(
        kind, address, tls=True, root_certificates=certificate[1], token="secret"
    ) as ask:
        assert (await ask.classify("good")).label == "POSITIVE"


async def test_certificate_that_is_not_trusted(kind: str, address: str) -> None:
    async with twins.opened(kind, address, tls=True, retries=0) as ask:
        with pytest.raises(Unavailable, match=f"no server answers at {address}"):
            await ask.classify("good")
