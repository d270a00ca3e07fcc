"""What a stranger may leave open, and how much he may send."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message
from valence_service.core.errors import Draining
from valence_service.transports.http import bodies, protocol
from valence_service.transports.http.errors import BadBody

from tests.support.waiting import until
from tests.transports.http.conftest import CONNECT, Service

HEAD = (
    b"POST %b HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n"
)


async def connected(service: Service) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = service.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes the connection."""
    async with asyncio.timeout(20):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("sent", [b"", b"POST /ana", b"GET / HTTP/1.1\r\nx: "])
async def test_headers_that_do_not_come(
    service: Service, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.1)
    reader, writer = await connected(service)
    writer.write(sent)
    assert await rest(reader) == b""
    writer.close()


@pytest.mark.parametrize("path", ["/analyze", f"{CONNECT}/Classify"])
async def test_a_body_that_does_not_come(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)
    reader, writer = await connected(service)
    writer.write(HEAD % (path.encode(), 100) + b'{"text": ')
    async with asyncio.timeout(20):
        status = await reader.readline()
    assert status.split()[1] in {b"408", b"499"}
    writer.close()


@pytest.mark.parametrize("path", ["/analyze", f"{CONNECT}/Classify"])
async def test_the_end_does_not_wait_for_a_body(service: Service, path: str) -> None:
    reader, writer = await connected(service)
    writer.write(HEAD % (path.encode(), 100) + b'{"text": ')
    await until(lambda: service.transport._bodies._timeouts)
    service.transport.end_idle()
    async with asyncio.timeout(20):
        status = await reader.readline()
    assert status.split()[1] in {b"503", b"499"}
    writer.close()


async def test_the_end_may_come_in_the_moment_when_a_body_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.0)
    faults: list[object] = []
    reading = bodies.Bodies(100)
    loop = asyncio.get_running_loop()
    never: asyncio.Future[Message] = loop.create_future()

    async def receive() -> Message:
        return await never

    read = asyncio.create_task(reading.read({}, receive))
    # The timeout is due at once, and this right after it, before the task is told.
    loop.call_soon(lambda: loop.call_later(0, reading.end))
    loop.set_exception_handler(lambda _, context: faults.append(context))
    with pytest.raises((BadBody, Draining)):
        await read
    assert not faults


@pytest.mark.parametrize(
    ("head", "status", "says"),
    [
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b"431", b"more than 16384 bytes"),
        (b"GET / HTTP/1.1\r\na: " + b"x" * 20_000 + b"\r\n\r\n", b"431", b"more than 16384 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"a: x\r\n" * 20_000 + b"\r\n", b"431", b"more than 16384 bytes"),
        (b"\x16\x03\x01 a TLS handshake, perhaps\r\n\r\n", b"400", b"no request of HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400", b"no request of HTTP/1.1"),
    ],
    ids=["target", "value", "count", "tls", "http2"],
)
async def test_headers_that_are_too_large_or_none(
    service: Service, head: bytes, status: bytes, says: bytes
) -> None:
    reader, writer = await connected(service)
    writer.write(head)
    answer = await rest(reader)
    # The connection may be reset before a long request is read whole.
    assert not answer or (answer.split()[1] == status and says in answer)
    writer.close()
    assert (await service.http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("path", ["/analyze", f"{CONNECT}/Classify"])
async def test_a_body_that_is_too_large(service: Service, path: str) -> None:
    reader, writer = await connected(service)
    size = service.transport._bodies.max_bytes + 1
    writer.write(HEAD % (path.encode(), size))
    if path != "/analyze":  # connectrpc reads until it is too much
        writer.write(b" " * size)
    async with asyncio.timeout(20):
        status = await reader.readline()
    assert status.split()[1] in {b"413", b"429"}
    writer.close()


async def test_requests_one_behind_the_other_on_one_connection(service: Service) -> None:
    body = b'{"text": "good"}'
    reader, writer = await connected(service)
    writer.write((HEAD % (b"/analyze", len(body)) + body) * 20)
    async with asyncio.timeout(20):
        for _ in range(20):
            while b'"label":"good"' not in await reader.readuntil(b"}"):
                pass
    writer.close()


async def test_bytes_behind_a_request_do_not_take_the_place_of_its_answer(
    service: Service,
) -> None:
    body = b'{"text": "good"}'
    reader, writer = await connected(service)
    service.classifier.hold()
    writer.write(HEAD % (b"/analyze", len(body)) + body + b"nonsense\r\n\r\n")
    await service.classifier.started()
    service.classifier.release()
    answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"label":"good","score":0.75}')
    writer.close()


async def test_only_so_many_requests_wait_on_one_connection(service: Service) -> None:
    body = b'{"text": "good"}'
    reader, writer = await connected(service)
    service.classifier.hold()
    writer.write((HEAD % (b"/analyze", len(body)) + body) * 10 * protocol.MAX_PIPELINED)
    await service.classifier.started()
    (connection,) = service.transport._server.server_state.connections
    assert isinstance(connection, protocol.BoundedProtocol)
    await until(lambda: connection._ignores)
    service.classifier.release()
    answers = await rest(reader)
    # The one under way, and those behind it.
    assert answers.count(b'"label":"good"') == 1 + protocol.MAX_PIPELINED
    writer.close()


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
async def test_a_wish_for_another_protocol_is_declined(service: Service, upgrade: bytes) -> None:
    # As Java's client and `curl --http2` send it.
    body = b'{"text": "good"}'
    head = HEAD.replace(
        b"\r\n\r\n", b"\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: %b\r\n\r\n" % upgrade
    )
    reader, writer = await connected(service)
    for first, last in ((body, b""), (body[:5], body[5:])):
        writer.write(head % (b"/analyze", len(body)) + first)
        await writer.drain()
        if last:
            await until(lambda: service.transport._bodies._timeouts)
        writer.write(last)
        async with asyncio.timeout(20):
            answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"label":"good"' in answer
    writer.close()


@pytest.mark.parametrize("target", [b"other.example:443", b"/analyze"])
async def test_a_tunnel_is_refused(service: Service, target: bytes) -> None:
    reader, writer = await connected(service)
    writer.write(b"CONNECT %b HTTP/1.1\r\nhost: here\r\n\r\nGET / HTTP/1.1\r\n\r\n" % target)
    answer = await rest(reader)
    assert answer.split()[1] in {b"400", b"405"}
    assert answer.count(b"HTTP/1.1 ") == 1
    writer.close()


async def test_many_connections_that_say_nothing_keep_nobody_waiting(service: Service) -> None:
    open_ones = [await connected(service) for _ in range(500)]
    response = await service.post("/analyze", {"text": "good"})
    assert response.json()["label"] == "good"
    await service.transport.stop(5)
    for reader, writer in open_ones:
        assert await rest(reader) == b""
        writer.close()
