"""The servers of the benchmark: how each is started, called and measured."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
import valence_model
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from bench import http2
from bench.plots import OURS

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "bench/peers"
ENVIRONMENTS = ROOT / ".venv-bench"
OURS_BY_HTTP = f"{OURS}, /analyze"
# The tutorial's own default model, and Valence with it.
TUTORIALS_OWN, OURS_WITH_ITS = "tutorial, DistilBERT", f"{OURS}, DistilBERT"
START_SECONDS = 120
END_SECONDS = 30
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Subject:
    """A server with a model inside, as one would deploy it on a small machine."""

    name: str
    command: tuple[str, ...]
    """``{port}`` stands for the port."""
    path: str
    protocol: str = "http"
    """``http`` is HTTP/1.1 and JSON, ``grpc`` is gRPC."""
    environment: dict[str, str] = field(default_factory=dict)
    """``{port}`` stands for the port here too."""
    folder: Path = ROOT
    """Where the command runs."""

    def payload(self, text: str) -> bytes:
        """Return the body of a request for one text."""
        if self.protocol == "grpc":
            return http2.message(pb.ClassifyRequest(text=text).SerializeToString())
        if self.path.startswith("/v2/"):
            tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
            return json.dumps({"inputs": [tensor]}).encode()
        return json.dumps({"text": text}).encode()


CLASSIFY = "/valence.v1.SentimentService/Classify"
BARE = Subject(
    "a bare grpc.aio server",
    (sys.executable, "-m", "bench.bare", "{port}"),
    CLASSIFY,
    protocol="grpc",
)
"""A server without a model: the cost of grpc.aio by itself."""


def subjects(model: Path) -> list[Subject]:
    """Return those that serve the model in a folder."""

    def peer(name: str, *command: str, path: str, engine: str = "pipeline", **more: str) -> Subject:
        return Subject(
            f"{name}, OpenVINO inside" if engine == "openvino" else name,
            (str(ENVIRONMENTS / name.split(maxsplit=1)[0].lower() / "bin/python"), *command),
            path,
            environment={"MODEL": str(model), "ENGINE": engine, "PORT": "{port}", **more},
            folder=PEERS,
        )

    def mlserver(engine: str) -> Subject:
        return peer(
            "MLServer",
            *("-c", "from mlserver.cli import main; main()", "start", "mlserver"),
            path="/v2/models/sentiment/infer",
            engine=engine,
            # Nobody calls its other two ports.
            MLSERVER_HOST="127.0.0.1",
            MLSERVER_HTTP_PORT="{port}",
            MLSERVER_GRPC_PORT=str(free_port()),
            MLSERVER_METRICS_PORT=str(free_port()),
            PYTHONPATH=str(PEERS),
        )

    return [
        _valence(OURS, model, "--port", "{port}"),
        dataclasses.replace(
            _valence(OURS_BY_HTTP, model, "--port", "0", "--http-port", "{port}"),
            path="/analyze",
            protocol="http",
        ),
        _tutorial("tutorial", model),
        peer("LitServe", "litserve_app.py", path="/classify"),
        mlserver("pipeline"),
        peer("Ray Serve", "rayserve_app.py", path="/classify"),
        peer("LitServe", "litserve_app.py", path="/classify", engine="openvino"),
        mlserver("openvino"),
    ]


def distilbert_subjects(distilbert: Path) -> list[Subject]:
    """Return the tutorial as it is written, and Valence with the same model."""
    return [
        _tutorial(TUTORIALS_OWN, distilbert),
        _valence(OURS_WITH_ITS, distilbert, "--port", "{port}"),
    ]


def _valence(name: str, model: Path, *ports: str) -> Subject:
    chosen = () if model.samefile(valence_model.path()) else ("--model", str(model))
    command = (sys.executable, "-m", "valence_service", *chosen, *ports)
    return Subject(name, command, CLASSIFY, protocol="grpc")


def _tutorial(name: str, model: Path) -> Subject:
    uvicorn = ("-m", "uvicorn", "tutorial_app:app", "--port", "{port}", "--no-access-log")
    return Subject(
        name,
        (sys.executable, *uvicorn),
        "/classify",
        environment={"MODEL": str(model)},
        folder=PEERS,
    )


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Running:
    """A server that has answered a text."""

    subject: Subject
    port: int
    pid: int
    start_seconds: float
    """From the start of its process to its first answer."""

    def memory_mb(self) -> float:
        """Return the memory of the server and its children, shared memory counted once (PSS)."""
        process = psutil.Process(self.pid)
        family = [process, *process.children(recursive=True)]
        return float(sum(one.memory_full_info().pss for one in family) / 2**20)


@contextmanager
def running(subject: Subject, port: int = 0) -> Iterator[Running]:
    """Start a server in a process group of its own, and end it. Port 0 is a free one."""
    port = port or free_port()

    def filled(text: str) -> str:
        return text.replace("{port}", str(port))

    began = time.perf_counter()
    process = subprocess.Popen(
        [filled(part) for part in subject.command],
        env=os.environ | {name: filled(value) for name, value in subject.environment.items()},
        cwd=subject.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not _answers(subject, port):
            if process.poll() is not None:
                raise SystemExit(f"{subject.name} ended with {process.returncode} at its start")
            if time.perf_counter() - began > START_SECONDS:
                raise SystemExit(f"{subject.name} did not answer in {START_SECONDS} s")
            time.sleep(POLL_SECONDS)
        yield Running(subject, port, process.pid, time.perf_counter() - began)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # children that it may have left behind
        process.wait()


def _answers(subject: Subject, port: int) -> bool:
    """Return whether the server answers a text with the right label."""
    text = "I loved every minute of it."
    if subject.protocol == "grpc":
        # A shared subchannel would wait longer before each new try.
        own = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=own) as channel:
            stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
            try:
                answer = stub.Classify(pb.ClassifyRequest(text=text), timeout=10)
            except grpc.RpcError:
                return False
            return bool(answer.sentiment.label == "POSITIVE")
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{subject.path}",
        data=subject.payload(text),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return b"POSITIVE" in response.read()
    except (urllib.error.URLError, OSError):
        return False
