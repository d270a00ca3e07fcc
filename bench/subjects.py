"""The servers that are compared: how each is started, asked and measured."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
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
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

HERE = Path(__file__).parent
PEERS = HERE / "peers"
ENVIRONMENTS = HERE.parent / ".venv-bench"
START_SECONDS = 120
END_SECONDS = 30
# A server that is not there yet is asked again after this long.
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

    def payload(self, text: str) -> bytes:
        """The body of a request for one text."""
        if self.protocol == "grpc":
            message = pb.ClassifyRequest(text=text).SerializeToString()
            return struct.pack(">BI", 0, len(message)) + message
        if self.path.startswith("/v2/"):
            tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
            return json.dumps({"inputs": [tensor]}).encode()
        return json.dumps({"text": text}).encode()


BARE = Subject(
    "a bare grpc.aio server",
    (sys.executable, str(HERE / "bare.py"), "{port}"),
    "/valence.v1.SentimentService/Classify",
    protocol="grpc",
)
"""Without a model: what grpc.aio costs by itself."""


def subjects(model: Path) -> list[Subject]:
    """All of them, on the model in a folder."""

    def peer(name: str, *command: str, path: str, engine: str = "pipeline", **more: str) -> Subject:
        return Subject(
            f"{name}, OpenVINO inside" if engine == "openvino" else name,
            (str(ENVIRONMENTS / name.split(maxsplit=1)[0].lower() / "bin/python"), *command),
            path,
            environment={"MODEL": str(model), "ENGINE": engine, "PORT": "{port}", **more},
        )

    def mlserver(engine: str) -> Subject:
        return peer(
            "MLServer",
            *("-c", "from mlserver.cli import main; main()", "start", "mlserver"),
            path="/v2/models/sentiment/infer",
            engine=engine,
            # The other two ports of it are not asked.
            MLSERVER_HOST="127.0.0.1",
            MLSERVER_HTTP_PORT="{port}",
            MLSERVER_GRPC_PORT=str(free_port()),
            MLSERVER_METRICS_PORT=str(free_port()),
            PYTHONPATH=str(PEERS),
        )

    uvicorn = ("-m", "uvicorn", "tutorial_app:app", "--port", "{port}", "--no-access-log")
    return [
        Subject(
            "Valence",
            (sys.executable, "-m", "valence_service", "--port", "{port}", "--model", str(model)),
            "/valence.v1.SentimentService/Classify",
            protocol="grpc",
        ),
        Subject(
            "tutorial", (sys.executable, *uvicorn), "/classify", environment={"MODEL": str(model)}
        ),
        peer("LitServe", "litserve_app.py", path="/classify"),
        mlserver("pipeline"),
        peer("Ray Serve", "rayserve_app.py", path="/classify"),
        peer("LitServe", "litserve_app.py", path="/classify", engine="openvino"),
        mlserver("openvino"),
    ]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Running:
    """A server that has answered."""

    subject: Subject
    port: int
    pid: int
    start_seconds: float
    """From the start of its process to its first answer."""

    def memory_mb(self) -> float:
        """What it and its children hold, memory that they share counted once (PSS)."""
        process = psutil.Process(self.pid)
        family = [process, *process.children(recursive=True)]
        return float(sum(one.memory_full_info().pss for one in family) / 2**20)


@contextmanager
def running(subject: Subject) -> Iterator[Running]:
    """The server from its start to its end, in a process group of its own."""
    port = free_port()

    def filled(text: str) -> str:
        return text.replace("{port}", str(port))

    began = time.perf_counter()
    process = subprocess.Popen(
        [filled(part) for part in subject.command],
        env=os.environ | {name: filled(value) for name, value in subject.environment.items()},
        cwd=PEERS,
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
            os.killpg(process.pid, signal.SIGKILL)  # what it may have left behind
        process.wait()


def _answers(subject: Subject, port: int) -> bool:
    """Whether a text is answered, and as one expects."""
    text = "I loved every minute of it."
    if subject.protocol == "grpc":
        # Of its own: a shared one waits ever longer before it tries again.
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
