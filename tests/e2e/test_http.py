"""The HTTP port of a real server: its clients, metrics, tokens, certificates and address."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from huggingface_hub import InferenceClient

from tests.support.certificates import Authority
from tests.support.server import Server, launched, run
from tests.telemetry.scrape import scrape_when

CONNECT = "/valence.v1.SentimentService"
HTTP = ("--http-port", "0")


@pytest.fixture(scope="module")
def server(two_labels: str) -> Iterator[tuple[Server, dict[str, Any]]]:
    """A server of the small model, exact to the third digit, with HTTP and metrics."""
    flags = ("--model", two_labels, "--precision", "f32", "--metrics-port", "0", *HTTP)
    with launched(*flags) as running:
        facts = running.event("SERVING")
        yield running, facts
        assert running.end() == 0


@pytest.fixture
def client(server: tuple[Server, dict[str, Any]]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server[1]['http']}", timeout=30) as client:
        yield client


def test_hugging_faces_own_client(server: tuple[Server, dict[str, Any]]) -> None:
    url = f"http://{server[1]['http']}/models/{server[1]['model']}"
    best, other = InferenceClient(model=url).text_classification("I loved it")
    assert {best.label, other.label} == {"NEGATIVE", "POSITIVE"}
    assert best.score >= other.score


def test_calls_are_counted_under_the_contracts_methods(
    server: tuple[Server, dict[str, Any]], client: httpx.Client
) -> None:
    total = "valence_requests_total"
    labels = {"method": "Classify", "code": "INVALID_ARGUMENT"}
    before = scrape_when(server[1]["metrics"], lambda told: True).value(total, **labels)
    assert client.post("/analyze", json={"text": ""}).status_code == 400
    assert client.post(f"{CONNECT}/Classify", json={"text": ""}).status_code == 400
    assert client.post("/analyze", content=b"{").status_code == 415
    scrape_when(server[1]["metrics"], lambda told: told.value(total, **labels) == before + 3)


def test_a_token_is_asked_for_wherever_a_text_is_sent(two_labels: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("correct-horse-battery-staple")
    certificate, key = (authority := Authority()).pair().write(tmp_path)
    tls = ("--tls-certificate", certificate, "--tls-key", key)
    token = ("--token-file", str(tokens), "--no-public-health")
    flags = ("--model", two_labels, *HTTP, *tls, *token)
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    with launched(*flags) as server:
        port = server.event("SERVING")["http"].rpartition(":")[2]
        with httpx.Client(base_url=f"https://localhost:{port}", verify=context) as client:
            for path, body in (
                ("/analyze", {"text": "good"}),
                ("/models/any", {"inputs": "good"}),
                (f"{CONNECT}/Classify", {"text": "good"}),
                ("/v1/stream", "good"),
            ):
                refused = client.post(path, json=body)
                assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
                assert refused.headers["www-authenticate"] == "Bearer"
            bearer = {"authorization": f"Bearer {tokens.read_text()}"}
            answered = client.post("/analyze", json={"text": "good"}, headers=bearer)
            assert answered.json()["label"]
            assert client.get("/readyz").status_code == 401
            assert client.get("/readyz", headers=bearer).json() == {"status": "SERVING"}
            assert client.get("/docs").status_code == 200
        assert server.end() == 0


def test_a_certificate_is_swapped(two_labels: str, tmp_path: Path) -> None:
    old, new = Authority(), Authority()
    certificate, key = old.pair().write(tmp_path)
    flags = ("--model", two_labels, *HTTP, "--tls-certificate", certificate, "--tls-key", key)
    with launched(*flags) as server:
        url = f"https://localhost:{server.event('SERVING')['http'].rpartition(':')[2]}/healthz"
        trusting = ssl.create_default_context(cadata=new.certificate.decode())
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, verify=trusting)
        new.pair().write(tmp_path)
        assert httpx.get(url, verify=trusting).status_code == 200
        assert server.end() == 0


def test_a_port_that_is_taken(server: tuple[Server, dict[str, Any]]) -> None:
    port = server[1]["http"].rpartition(":")[2]
    ended = run("--port", "0", "--http-port", port)
    assert ended.returncode == 1
    assert "choose another with --http-port" in ended.stderr


def test_without_the_extra_it_is_named(two_labels: str) -> None:
    missing = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from valence_service.__main__ import main; main()"
    )
    ended = run("--port", "0", *HTTP, "--model", two_labels, python=("-c", missing))
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert "pip install 'valence-service[http]'" in line


@pytest.mark.full
def test_nothing_of_it_is_imported_unless_it_is_on() -> None:
    code = (
        "import sys, valence_service.wiring\n"
        "assert not {'uvicorn', 'starlette', 'connectrpc'} & set(sys.modules)"
    )
    assert run(python=("-c", code)).returncode == 0
