"""A load is told from its calls' statuses, so that no refusal passes for an answer."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

from bench.bare import ANSWER
from bench.load import unary
from bench.subjects import Running, Subject

REFUSES_EVERY = 5
SECONDS = 0.5
SERVICE = "valence.v1.SentimentService"


@contextmanager
def over_grpc(*, refuses: bool) -> Iterator[Running]:
    """A server that answers at length, and may refuse one call in five."""
    calls = itertools.count(1)

    def classify(_: bytes, context: grpc.ServicerContext) -> bytes:
        if refuses and next(calls) % REFUSES_EVERY == 0:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return ANSWER

    handlers: Any = {"Classify": grpc.unary_unary_rpc_method_handler(classify)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Running(
            Subject("a server", (), f"/{SERVICE}/Classify", protocol="grpc"), port, os.getpid(), 0.0
        )
    finally:
        server.stop(grace=None).wait()


@contextmanager
def over_http(*, refusal: int) -> Iterator[Running]:
    calls = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(refusal if next(calls) % REFUSES_EVERY == 0 else 200)
            # In chunks, as some of the servers answer.
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.write(b'11\r\n{"label": "GOOD"}\r\n0\r\n\r\n')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Running(Subject("a server", (), "/classify"), server.server_port, os.getpid(), 0)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("callers", [1, 20])
def test_every_answer_counts(callers: int) -> None:
    with over_grpc(refuses=False) as server:
        load = unary(server, ["one", "two"], callers=callers, seconds=SECONDS)

    assert set(load.statuses) == {"OK"}
    assert 0 < load.texts_per_second * SECONDS <= load.statuses["OK"]
    assert 0 < load.wait_ms[50] <= load.wait_ms[99]


def test_one_refusal_in_five_is_no_rate() -> None:
    with (
        over_grpc(refuses=True) as server,
        pytest.raises(SystemExit, match=r"\d+ RESOURCE_EXHAUST"),
    ):
        unary(server, ["one", "two"], callers=20, seconds=SECONDS)


def test_answers_over_http_count() -> None:
    with over_http(refusal=200) as server:
        load = unary(server, ["one", "two"], callers=4, seconds=SECONDS)

    assert set(load.statuses) == {"OK"}
    assert load.texts_per_second > 0


@pytest.mark.parametrize(
    ("refusal", "status"), [(503, "RESOURCE_EXHAUSTED"), (500, "HTTP 500"), (202, "HTTP 202")]
)
def test_refusals_over_http_are_told_by_their_status(refusal: int, status: str) -> None:
    with over_http(refusal=refusal) as server, pytest.raises(SystemExit, match=status):
        unary(server, ["one", "two"], callers=4, seconds=SECONDS)
