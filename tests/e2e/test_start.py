"""How the service starts, and what it says where it cannot."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc
from valence_client import Client

from tests.support.hub import COMMIT, hub
from tests.support.server import Server, command, environment, launched, run, serving


def failed(*arguments: str, code: int, says: str, **env: str) -> None:
    ended = run(*arguments, env=env)
    assert ended.returncode == code, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("valence-serve: ")
    assert says in lines[0]
    assert "Traceback" not in ended.stderr


def test_help_says_units_and_defaults() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for word in ("--max-queue-texts", "seconds", "(default: 50051)", "VALENCE_"):
        assert word in ended.stdout


@pytest.mark.full
def test_the_embedded_model_is_checked_once_it_serves() -> None:
    with serving("--precision", "int8") as server:
        told = server.event("self_check")
    assert told["level"] == "info"
    assert told["longest_tokens"] > 500


def test_an_unknown_setting_is_a_usage_error() -> None:
    failed("--bacth-size", "3", code=2, says="--bacth-size")
    failed(code=2, says="VALENCE_PROT", VALENCE_PROT="1")


def test_a_wrong_value_is_a_usage_error() -> None:
    failed("--port", "http", code=2, says="--port 'http'")


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        failed("--port", port, code=1, says=f"cannot listen on 127.0.0.1:{port}: address already")


def test_a_host_that_is_not_here() -> None:
    host = ("--host", "no.such.host.invalid", "--insecure")
    failed(*host, "--port", "0", code=1, says="choose another with --host")


def test_a_missing_model(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    failed("--port", "0", "--model", missing, code=2, says=f"--model '{missing}': ")


def test_a_second_server_does_not_share_the_port(tiny: Server) -> None:
    failed("--port", tiny.address.rsplit(":", 1)[1], code=1, says="address already in use")


WAITS_FOR_THE_GATE = """
import os
from pathlib import Path
from valence_service.backends import load
load_model = load.load_model
def wait_and_load(*arguments, **options):
    Path(os.environ["GATE"]).read_text()
    return load_model(*arguments, **options)
load.load_model = wait_and_load
from valence_service.__main__ import main
main()
"""


def test_the_port_is_open_and_not_serving_before_the_model_is_there(
    two_labels: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waiting = ("-c", WAITS_FOR_THE_GATE)
    with launched("--model", two_labels, python=waiting, env={"GATE": str(gate)}) as server:
        server.address = server.event("starting")["address"]
        with grpc.insecure_channel(server.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            gate.write_text("opened")
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        assert server.event("SERVING")["address"] == server.address
        assert server.end() == 0


@pytest.mark.full
def test_the_largest_limits_are_served(two_labels: str) -> None:
    limits = ("--max-text-bytes", str(1 << 24), "--max-batch-texts", "4096")
    with (
        serving("--model", two_labels, *limits, "--max-queue-texts", "4096") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        good, large = stub.BatchClassify(
            pb.BatchClassifyRequest(texts=["good", "x" * ((1 << 24) + 1)])
        ).results
        assert good.HasField("sentiment")
        assert "16777217 bytes, over the limit of 16777216" in large.error.message


def test_a_queue_that_holds_no_full_batch_is_warned_of(two_labels: str) -> None:
    with launched("--model", two_labels, "--max-queue-texts", "63") as server:
        assert "--max-batch-texts 64" in server.event("small_queue")["hint"]


@pytest.mark.full
def test_a_model_of_the_hub_by_name_and_revision(two_labels: str, tmp_path: Path) -> None:
    with hub(two_labels, "acme/tiny") as online:
        environment = dict(online.environment(tmp_path))
        with launched("--model", "acme/tiny", "--revision", "main", env=environment) as server:
            facts = server.event("SERVING")
            assert (facts["model"], facts["revision"]) == ("acme/tiny", COMMIT)
            assert server.end() == 0
        assert "model.safetensors" in online.fetched
        missing = run("--model", "acme/tiny", "--revision", "v9", env=environment)
        assert missing.returncode == 2
        assert "--revision 'v9': acme/tiny has no such commit, branch or tag" in missing.stderr
    # What was fetched is kept.
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    with launched("--model", "acme/tiny", "--revision", COMMIT, env=offline) as server:
        assert server.event("SERVING")["revision"] == COMMIT
        assert server.end() == 0


def test_sigterm_while_loading_ends_at_once(two_labels: str) -> None:
    with launched("--model", two_labels) as server:
        server.event("starting")
        assert server.end(signal.SIGTERM) == 0


TORCH_IMPORTED = """
import sys
from valence_service.backends import load
from valence_service.arguments import read_settings
from valence_service.wiring import model_source
settings = read_settings(sys.argv[1:])
source = model_source(settings)
model = load.load_model(source, replicas=2, cores=2, max_micro_batch_tokens=64)
model.classifiers[0].classify(["good"])
print(sorted({"torch", "transformers"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def prepared(
    traced: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[str, ...], list[str]]:
    """The flags of a model that --prepare has converted, and the events that it told of."""
    cache_dir = str(tmp_path_factory.mktemp("prepared"))
    flags = ("--model", traced, "--engine", "openvino", "--cache-dir", cache_dir)
    ended = run("--prepare", *flags)
    assert ended.returncode == 0
    return flags, [json.loads(line)["event"] for line in ended.stderr.splitlines()]


@pytest.mark.full
def test_a_converted_model_is_served_without_torch(
    prepared: tuple[tuple[str, ...], list[str]],
) -> None:
    flags, _ = prepared
    imported = subprocess.run(
        command(*flags, python=("-c", TORCH_IMPORTED)),
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert imported.stdout.splitlines()[-1] == "[]"


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from valence_service.__main__ import main
main()
"""


@pytest.mark.parametrize("precision", ["f32", "int8", pytest.param("bf16", marks=pytest.mark.full)])
def test_the_embedded_model_needs_no_torch(precision: str) -> None:
    with launched("--precision", precision, python=("-c", WITHOUT_TORCH)) as server:
        facts = server.event("SERVING")
        assert (facts["engine"], facts["precision"]) == ("openvino", precision)
        with grpc.insecure_channel(facts["address"]) as channel:
            stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
            response = stub.Classify(pb.ClassifyRequest(text="I loved every minute of it"))
        assert response.sentiment.label == "POSITIVE"
        assert server.end() == 0


@pytest.mark.full
def test_prepare_converts_and_exits(prepared: tuple[tuple[str, ...], list[str]]) -> None:
    flags, events = prepared
    assert events == ["tracing", *["converting"] * 3, "self_check", "converted", "prepared"]
    with launched(*flags) as server:
        events = []
        for line in server.lines():
            events.append(json.loads(line)["event"])
            if events[-1] == "SERVING":
                break
        assert events == ["starting", "self_check", "SERVING"]


def test_an_engine_and_a_device_that_do_not_go_together() -> None:
    failed(
        "--port",
        "0",
        "--engine",
        "openvino",
        "--device",
        "cuda",
        code=2,
        says="--device 'cuda': --engine openvino computes on the CPU",
    )


def test_a_unix_socket(two_labels: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving("--model", two_labels, "--host", f"unix:{path}") as server:
        assert server.address == f"unix:{path}"
        with Client(f"unix:{path}") as client:
            assert client.classify("good").label in ("NEGATIVE", "POSITIVE")
        health = [sys.executable, "-m", "valence_client", "health", "--address", server.address]
        assert subprocess.check_output(health, env=environment()) == b"SERVING\n"
        assert server.end() == 0
    assert not path.exists()
