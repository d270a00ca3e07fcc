"""A Unix socket: whose it is, and which files it takes the place of."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from valence_service.transports.grpc.listening import listen
from valence_service.transports.tls import Certificates
from valence_service.transports.transport import CannotListen

from tests.support.certificates import Authority

UNKNOWN_METHOD = "UNIMPLEMENTED: Method not found!"


@asynccontextmanager
async def listening(host: str, certificates: Certificates | None = None) -> AsyncIterator[str]:
    server = grpc.aio.server()
    address = listen(server, host, 50051, certificates)
    await server.start()
    yield address
    await server.stop(0)


async def connect(address: str, credentials: grpc.ChannelCredentials | None = None) -> str:
    """What a server without methods says of one."""
    channel = (
        grpc.aio.secure_channel(address, credentials, [("grpc.default_authority", "localhost")])
        if credentials
        else grpc.aio.insecure_channel(address)
    )
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            method: Any = channel.unary_unary("/no/method")
            await method(b"")
    return f"{caught.value.code().name}: {caught.value.details()}"


async def test_socket_is_its_owners_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    before = os.umask(0o022)
    try:
        async with listening(f"unix://{path}") as address:
            assert address == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert os.umask(0o022) == 0o022
            assert await connect(address) == UNKNOWN_METHOD
    finally:
        os.umask(before)
    assert not path.exists()


async def test_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with listening("unix:socket") as address:
        assert address == "unix:socket"
        assert await connect(f"unix:{tmp_path}/socket") == UNKNOWN_METHOD


async def test_socket_with_tls(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.pair().write(tmp_path)
    certificates = Certificates(Path(certificate), Path(key), None)
    async with listening(f"unix:{tmp_path}/socket", certificates) as address:
        assert await connect(address, authority.credentials()) == UNKNOWN_METHOD


async def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with listening(f"unix:{path}") as address:
        assert await connect(address) == UNKNOWN_METHOD


async def test_live_socket_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with listening(f"unix:{path}") as address:
        with pytest.raises(CannotListen, match="another server does; choose another with --host"):
            listen(grpc.aio.server(), f"unix:{path}", 50051)
        assert await connect(address) == UNKNOWN_METHOD


async def test_socket_whose_server_is_busy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(CannotListen, match="another server does"):
            listen(grpc.aio.server(), f"unix:{path}", 50051)
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file", "the file is no socket; choose another with --host, or remove it"),
        ("file/socket", "not a directory; choose another with --host"),
        ("none/socket", "no such file or directory; choose another with --host"),
    ],
)
async def test_path_that_is_no_place_for_a_socket(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(CannotListen, match=f"cannot listen on unix:{tmp_path}/{name}: {said}"):
        listen(grpc.aio.server(), f"unix:{tmp_path}/{name}", 50051)
    assert (tmp_path / "file").read_text() == "kept"
