"""A stream as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any

import pytest
from valence_service.core.errors import Draining
from valence_service.transports.http import protocol
from valence_service.transports.http.ndjson import LINE_BYTES

from tests.support.classifier import POISON, SECRET
from tests.support.waiting import until
from tests.transports.grpc.conftest import LIMITS, WINDOW_TEXTS
from tests.transports.http.conftest import Service, started

STREAM = "/v1/stream"


async def lines_of(service: Service, sent: bytes, query: str = "") -> list[dict[str, Any]]:
    response = await service.http.post(STREAM + query, content=sent)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


async def test_a_line_for_each_line_and_one_for_the_end(service: Service) -> None:
    *results, end = await lines_of(
        service, b'{"id": "a", "text": "good"}\r\n\n"bad"\n  \n{"text": "fine", "more": 1}'
    )
    assert [(line["id"], line["sentiment"]["label"]) for line in results] == [
        ("a", "good"),
        ("", "bad"),
        ("", "fine"),
    ]
    assert end == {"end": {"complete": True, "answered": 3, "failed": 0}}


async def test_no_lines_are_a_whole_stream(service: Service) -> None:
    assert await lines_of(service, b"") == [{"end": {"complete": True, "answered": 0, "failed": 0}}]


BAD = {
    b"{": "not JSON",
    b"\xff": "not JSON",
    b"[" * 100_000: "more than",
    b"[" * 4_000: "not JSON",
    b"3": 'with a "text"',
    b"[]": 'with a "text"',
    b"NaN": "not JSON",
    b'{"text": "good", "text": "bad"}': "the line has the key 'text' twice",
    b'{"id": "b"}': 'no "text"',
    b'{"id": "b", "text": 3}': 'no "text"',
    b'{"id": 7, "text": "good"}': '"id"',
    b'{"text": ""}': "text: ",
    b'{"text": "\\ud83d"}': "text: ",
    b'{"id": "\\ud800", "text": "good"}': '"id"',
    b'{"id": "' + b"b" * 300 + b'", "text": "good"}': "id: ",
    b'"' + b"x" * (6 * LIMITS.max_text_bytes + LINE_BYTES) + b'"': "more than",
    b'"%b"' % POISON.encode(): "id ",
}


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
async def test_a_bad_line_fails_alone(service: Service, bad: bytes) -> None:
    first, second, third, end = await lines_of(service, b'"good"\n%b\n"fine"\n' % bad)
    assert (first["sentiment"]["label"], third["sentiment"]["label"]) == ("good", "fine")
    assert BAD[bad] in second["error"]["message"]
    assert SECRET not in str(second)
    assert end["end"] == {"complete": True, "answered": 2, "failed": 1}


async def test_an_error_has_the_id_of_its_line(service: Service) -> None:
    sent = b'{"id": "a", "text": ""}\n{"id": "b", "text": 3}\n{"id": "c"}\n'
    *errors, _ = await lines_of(service, sent, "?order=ready")
    assert [line["id"] for line in errors] == ["a", "b", "c"]


async def test_lines_are_answered_as_they_come(service: Service) -> None:
    # httpx sends a body whole before it reads: a socket of its own does both.
    host, _, port = service.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/stream HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
    for text in ("good", "bad"):
        line = b'"%b"\n' % text.encode()
        writer.write(b"%x\r\n%b\r\n" % (len(line), line))
        async with asyncio.timeout(10):
            while text.encode() not in await reader.readline():
                pass
    writer.close()


async def test_a_client_that_does_not_read_is_not_read_from(service: Service) -> None:
    host, _, port = service.address.rpartition(":")
    service.classifier.hold()
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/stream HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
    line = b'"good"\n'
    for _ in range(1000):
        writer.write(b"%x\r\n%b\r\n" % (len(line), line))
    await service.classifier.started()
    await until(lambda: service.batcher.queued_texts >= WINDOW_TEXTS - 4)
    assert service.batcher.queued_texts <= WINDOW_TEXTS
    writer.close()
    service.classifier.release()
    await until(lambda: service.batcher.idle)
    assert len(service.classifier.seen) <= 3 * WINDOW_TEXTS


async def test_a_client_that_never_reads_is_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "SEND_SECONDS", 0.1)
    host, _, port = service.address.rpartition(":")
    listening = service.transport._socket
    assert listening
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 12)  # its connections inherit it
    with socket.create_connection((host, int(port))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        client.setblocking(False)
        client.send(b"POST /v1/stream HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
        await until(lambda: service.sentiment.open_streams == 1)
        line = b'"%b"\n' % (b"good " * 19)
        chunk = b"%x\r\n%b\r\n" % (len(line) * 100, line * 100)

        unsent = chunk

        def given_up() -> bool:
            nonlocal unsent
            with suppress(BlockingIOError, ConnectionError):
                unsent = unsent[client.send(unsent) :] or chunk
            return service.sentiment.open_streams == 0

        await until(given_up)


async def test_a_client_that_leaves_after_its_last_line_takes_its_texts_along(
    service: Service,
) -> None:
    service.classifier.hold()
    leaving = asyncio.create_task(service.http.post(STREAM, content=b'"good"\n' * WINDOW_TEXTS))
    await service.classifier.started()
    await until(lambda: service.batcher.queued_texts)
    leaving.cancel()
    await until(lambda: service.batcher.queued_texts == 0)
    service.classifier.release()
    await until(lambda: service.batcher.idle)
    assert len(service.classifier.seen) <= 4  # a batch was under way


async def test_packed_lines_are_refused(service: Service) -> None:
    headers = {"content-encoding": "gzip"}
    response = await service.http.post(STREAM, content=b"\x1f\x8b", headers=headers)
    assert response.status_code == 415
    assert "content-encoding: gzip" in response.json()["message"]


async def test_options(service: Service) -> None:
    long = " ".join(["word"] * 20)
    (refused, end) = await lines_of(service, json.dumps(long).encode(), "?overlength=reject")
    assert "over the limit of 16" in refused["error"]["message"]
    assert end["end"]["failed"] == 1
    await lines_of(service, b'"good"', "?order=ready")
    for query, says in {
        "?overlength=never": "overlength: 'never' is none of unspecified, ",
        "?other=1": "other: is no option",
        "?order=ready&order=request": "order: is given twice",
    }.items():
        response = await service.http.post(STREAM + query, content=b'"good"')
        assert response.status_code == 400
        assert says in response.json()["message"]


async def test_a_stream_is_refused_before_it_begins() -> None:
    async with started(opened=False) as service:
        response = await service.http.post(STREAM, content=b'"good"')
        assert response.status_code == 503


async def test_the_last_line_says_that_the_server_is_ending(service: Service) -> None:
    service.classifier.hold()
    host, _, port = service.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/stream HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
        b'7\r\n"good"\n\r\n'
    )
    await service.classifier.started()
    service.sentiment.refuse(Draining("the server is ending: call another one"))
    service.classifier.release()
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    assert b'"label": "good"' in answer
    assert b'"complete": false, "answered": 1, "failed": 0' in answer
    assert b"the server is ending" in answer
