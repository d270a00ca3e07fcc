"""What a scrape of a real server shows, and what the endpoint bears."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.support.server import launched, run
from tests.telemetry.conftest import METRICS, Scraped
from tests.telemetry.scrape import Scrape, scrape, scrape_open, scrape_when


@pytest.fixture
def stub(scraped: Scraped) -> sentiment_pb2_grpc.SentimentServiceStub:
    return sentiment_pb2_grpc.SentimentServiceStub(grpc.insecure_channel(scraped.server.address))


def grown(before: Scrape, after: Scrape, name: str, **labels: str) -> float:
    return after.value(name, **labels) - before.value(name, **labels)


def test_both_formats_are_read_and_say_the_same(scraped: Scraped) -> None:
    classic, open_metrics = scrape(scraped.metrics), scrape_open(scraped.metrics)
    assert classic.names == open_metrics.names
    for family in classic.families.values():
        assert family.name.startswith(("valence_", "process_", "python_")), family.name
        assert family.documentation, family.name
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= classic.names


def test_calls_and_texts_are_counted(
    scraped: Scraped, stub: sentiment_pb2_grpc.SentimentServiceStub
) -> None:
    before = scrape(scraped.metrics)
    stub.Classify(pb.ClassifyRequest(text="good"))
    with pytest.raises(grpc.RpcError):
        stub.Classify(pb.ClassifyRequest(text=""))
    stub.BatchClassify(pb.BatchClassifyRequest(texts=["good", "", "bad"]))
    requests = [pb.StreamClassifyRequest(text=text) for text in ("good", " ", "bad", "fine")]
    assert len(list(stub.StreamClassify(iter(requests)))) == 4
    invalid = {"method": "Classify", "code": "INVALID_ARGUMENT"}
    after = scrape_when(
        scraped.metrics,
        lambda told: grown(before, told, "valence_requests_total", **invalid) == 1,
    )
    for method, code, calls in (
        ("Classify", "OK", 1),
        ("Classify", "INVALID_ARGUMENT", 1),
        ("BatchClassify", "OK", 1),
        ("StreamClassify", "OK", 1),
        ("GetModel", "OK", 0),
    ):
        total = grown(before, after, "valence_requests_total", method=method, code=code)
        assert total == calls, (method, code)
    count = "valence_request_duration_seconds_count"
    assert grown(before, after, count, method="Classify") == 2
    assert grown(before, after, "valence_refusals_total", reason="invalid_field") == 3
    assert grown(before, after, "valence_texts_total", outcome="answered") == 6
    assert grown(before, after, "valence_queue_wait_seconds_count") == 6
    assert grown(before, after, "valence_batch_texts_sum") == 6
    batches = grown(before, after, "valence_batch_texts_count")
    assert 3 <= batches <= 6
    assert grown(before, after, "valence_inference_duration_seconds_count") == batches
    assert grown(before, after, "valence_inference_duration_seconds_sum") > 0
    assert grown(before, after, "valence_batch_fill_ratio_sum") == pytest.approx(6 / 64)
    # The model has two layers.
    assert grown(before, after, "valence_texts_by_layers_total", layers="2") == 6
    # Each text fills a pass of 16 tokens alone, or shares one that is as wide for each.
    tokens = grown(before, after, "valence_tokens_total")
    padding = grown(before, after, "valence_padding_tokens_total")
    assert 6 * 3 <= tokens <= 6 * 6
    assert (tokens + padding) % 16 == 0
    assert tokens + padding >= 6 * 16


def test_what_is_served_and_how_full_it_is(scraped: Scraped, two_labels: str) -> None:
    told = scrape(scraped.metrics)
    name = Path(two_labels).name
    model = {"name": name, "engine": "openvino", "precision": "f32", "device": "cpu"}
    assert told.value("valence_model_info", **model) == 1
    assert told.value("valence_build_info", version="0.1.0", grpcio=grpc.__version__) == 1
    assert told.value("valence_serving") == 1
    assert told.value("valence_replicas") >= 1
    assert told.value("valence_replicas_broken") == 0
    assert told.value("valence_threads_abandoned") == 0
    assert told.value("valence_queue_max_texts") == 1024
    assert told.value("valence_streams_open") == 0


def test_before_the_model_is_there_health_says_no(two_labels: str) -> None:
    with launched("--model", two_labels, *METRICS) as server:
        told = scrape(server.event("starting")["metrics"])
        assert "valence_serving" in told.names
        if not told.value("valence_serving"):  # it may be there already
            assert "valence_replicas" not in told.names
        metrics = server.event("SERVING")["metrics"]
        assert scrape(metrics).value("valence_serving") == 1
        assert server.end() == 0


def test_strangers_are_counted_under_the_contracts_methods_or_as_other(
    two_labels: str, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef")
    with launched("--model", two_labels, "--token-file", str(tokens), *METRICS) as server:
        facts = server.event("SERVING")
        with grpc.insecure_channel(facts["address"]) as channel:
            for method in ("/valence.v1.SentimentService/Classify", "/any/thing", "/any/other"):
                ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
                call = ask.future(b"", timeout=10)
                assert call.code() is grpc.StatusCode.UNAUTHENTICATED
                assert "x-request-id" in dict(call.trailing_metadata())
        assert server.event("unauthenticated")["request_id"]
        unauthenticated = {"code": "UNAUTHENTICATED"}
        total = "valence_requests_total"
        told = scrape_when(
            facts["metrics"], lambda told: told.value(total, method="other", **unauthenticated) == 2
        )
        assert told.value(total, method="Classify", **unauthenticated) == 1
        assert told.value("valence_refusals_total", reason="unauthenticated") == 3
        assert server.end() == 0


def _says_nothing(peer: socket.socket) -> None:
    """It is connected."""


def _vanishes(peer: socket.socket) -> None:
    peer.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    peer.close()


def _talks_nonsense(peer: socket.socket) -> None:
    peer.sendall(b"\x00\xff\r\n" * 1000 + b"\r\n")


def _posts(peer: socket.socket) -> None:
    peer.sendall(b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
    assert b" 405 " in peer.recv(4096).splitlines()[0]


@pytest.mark.full
def test_bad_peers_keep_nobody_from_scraping(two_labels: str) -> None:
    with launched("--model", two_labels, *METRICS) as server:
        metrics = server.event("SERVING")["metrics"]
        host, _, port = metrics.rpartition(":")
        for does in (_says_nothing, _vanishes, _talks_nonsense, _posts):
            with ExitStack() as peers:
                for _ in range(20):
                    peer = peers.enter_context(socket.create_connection((host, int(port))))
                    does(peer)
                assert scrape(metrics).value("valence_serving") == 1, does.__name__
        assert server.end() == 0
        assert all(line.startswith("{") for line in server.lines()), "the log is lines of JSON"


def test_a_metrics_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("--port", "0", "--metrics-port", port)
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert line == (
        f"valence-serve: cannot listen on 127.0.0.1:{port} for metrics: address already in use; "
        "choose another with --metrics-port or --metrics-host"
    )


def test_a_metrics_host_that_is_not_here() -> None:
    ended = run("--port", "0", *METRICS, "--metrics-host", "no.such.host.invalid")
    assert ended.returncode == 1
    assert "choose another with --metrics-port or --metrics-host" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_the_flag_nothing_listens(two_labels: str) -> None:
    with launched("--model", two_labels) as server:
        assert "metrics" not in server.event("SERVING")
        assert server.end() == 0


def test_over_ipv6(two_labels: str) -> None:
    with launched("--model", two_labels, *METRICS, "--metrics-host", "::1") as server:
        metrics = server.event("SERVING")["metrics"]
        assert metrics.startswith("[::1]:")
        assert scrape(metrics).value("valence_serving") == 1
        assert server.end() == 0
