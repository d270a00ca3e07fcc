"""The slim image, as `make image-test` has built it: run, called, checked and ended."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.image.container import ROOT, Image, Limits, image, process_one

pytestmark = pytest.mark.image
MAX_COMPRESSED_MB = 450
OPEN = ("--host", "0.0.0.0", "--insecure", "--metrics-host", "0.0.0.0", "--metrics-port", "9464")  # noqa: S104


@pytest.fixture(scope="module")
def slim() -> Iterator[Image]:
    files = Path(image("root", "slim"))
    yield Image("slim", files)
    image("remove", "slim")


def packages(slim: Image) -> dict[str, str]:
    """The packages of its bill of materials, with their versions."""
    bill: dict[str, Any] = json.loads((slim.files / "opt/valence/sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    return {part["name"].lower(): part["version"] for part in bill["components"]}


def test_its_configuration(slim: Image) -> None:
    found = slim.configuration
    assert found["User"] == "10001:10001"
    assert found["Entrypoint"] == ["valence-serve"]
    assert found["Healthcheck"]["Test"][:3] == ["CMD", "valence", "health"]
    assert found["StopSignal"] == "SIGTERM"
    assert list(found["ExposedPorts"]) == ["50051/tcp"]
    labels = {name.rpartition(".")[2]: value for name, value in found["Labels"].items()}
    assert {"title", "description", "licenses", "version", "revision"} <= set(labels)
    assert re.fullmatch(r"[0-9a-f]{40}", labels["revision"])
    assert labels["version"] == packages(slim)["valence-service"]


def test_its_size() -> None:
    assert int(image("size", "slim")) < MAX_COMPRESSED_MB


def test_its_bill_of_materials_is_the_lock(slim: Image) -> None:
    lock = (ROOT / "constraints.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    found = packages(slim)
    ours = {name for name in found if name.startswith("valence")}
    assert ours == {"valence-client", "valence-model", "valence-protos", "valence-service"}
    assert {"openvino", "grpcio", "tokenizers", "uvicorn", "typer"} <= set(found)
    assert not {"torch", "transformers", "pip", "hatchling"} & set(found)
    for name, version in found.items():
        if name not in ours:
            assert version == locked[name.replace("_", "-").replace(".", "-")], name


def test_it_serves_within_its_limits_and_ends(slim: Image) -> None:
    with (
        Limits.made(cores=1, memory_mb=512) as limits,
        slim.started(*OPEN, limits=limits) as server,
    ):
        starting = server.event("starting")
        assert (starting["cores"], starting["cores_limited_by"]) == (1, "CPU quota of 1")
        server.event("SERVING")
        inside = Path(f"/proc/{process_one(server)}/status").read_text()
        assert re.search(r"^NSpid:\s+\d+\s+1$", inside, re.MULTILINE)
        assert re.search(r"^Uid:\s+10001\s+10001\s", inside, re.MULTILINE)
        asked = slim.beside(server, "valence", "classify", "I loved every minute of it")
        assert asked.stdout.startswith("POSITIVE"), asked.stderr
        health = slim.configuration["Healthcheck"]["Test"][1:]
        assert slim.beside(server, *health).returncode == 0
        written = slim.beside(server, "touch", "/opt/valence/x")
        assert "Read-only file system" in written.stderr
        os.kill(process_one(server), signal.SIGTERM)
        server.event("draining")
        assert server.process.wait(30) == 0
