"""The certificate and the authority of the HTTP port, as their files change."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from valence_service.transports.http.tls import server_context
from valence_service.transports.tls import BadCertificate, Certificates

from tests.support.certificates import Authority


async def connects(port: int, server: Authority, client: Authority, folder: Path) -> bool:
    """Whether a client of an authority gets through, which trusts the server's."""
    context = ssl.create_default_context(cadata=server.certificate.decode())
    (folder / "own").mkdir(exist_ok=True)
    context.load_cert_chain(*client.pair("caller").write(folder / "own"))
    try:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        try:
            return await reader.read(1) == b"!"
        finally:
            writer.close()
    except (ssl.SSLError, ConnectionError):
        return False


async def test_who_is_trusted_follows_the_file(tmp_path: Path) -> None:
    old, new = Authority(), Authority()
    certificate, key = map(Path, old.pair().write(tmp_path))
    (tmp_path / "ca.pem").write_bytes(old.certificate)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"!")
        writer.close()

    context = server_context(Certificates(certificate, key, tmp_path / "ca.pem"))
    server = await asyncio.start_server(greet, "localhost", 0, ssl=context)
    port: int = server.sockets[0].getsockname()[1]
    async with server:
        assert await connects(port, old, old, tmp_path)
        assert not await connects(port, old, new, tmp_path)
        (tmp_path / "ca.pem").write_bytes(new.certificate)
        assert await connects(port, old, new, tmp_path)
        assert not await connects(port, old, old, tmp_path)
        key.write_bytes(b"half of a pair")  # the old one serves on
        assert await connects(port, old, new, tmp_path)


def test_files_that_are_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("nothing")
    with pytest.raises(BadCertificate):
        server_context(Certificates(tmp_path / "file", tmp_path / "file", None))
