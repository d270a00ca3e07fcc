"""The pods' commands, environments, ports, users, volumes and probes, run on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kubernetes.namespace import Namespace, require
from tests.kubernetes.rendered import init_containers, pod, server
from tests.support import certificates, models
from tests.support.hub import hub
from tests.support.server import START_SECONDS, Server

pytestmark = pytest.mark.kubernetes
CLASSIFY = """
from valence_client import Client
with Client("127.0.0.1:50051") as client:
    print(client.classify("I loved it").label)
"""
SCRAPE = """
import sys, urllib.request
print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics").read().decode())
"""


@pytest.fixture(autouse=True)
def _allowed() -> None:
    require()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that another user can reach."""
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(0o755)
    return tmp_path


def of(overlay: str, folder: Path, **volumes: Path) -> Namespace:
    scratch = folder / "scratch"
    scratch.mkdir()
    return Namespace(pod(overlay), server(overlay), volumes, scratch)


def volume(folder: Path, name: str, group: int) -> Path:
    """A folder that the group may write to, as Kubernetes makes one of an emptyDir."""
    path = folder / name
    path.mkdir()
    os.chown(path, 0, group)
    path.chmod(0o2770)
    return path


def serves(running: Namespace, server: Server) -> None:
    """It is alive as soon as it listens, and ready only when it serves."""
    server.event("starting")
    assert running.probe(server, "livenessProbe")
    server.event("SERVING")
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert running.probe(server, kind), kind


def ends(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    server.event("draining")
    assert server.process.wait(30) == 0


def test_the_embedded_model(folder: Path) -> None:
    running = of("embedded", folder)
    with running.started() as server:
        serves(running, server)
        asked = running.beside(server, sys.executable, "-c", CLASSIFY)
        assert asked.stdout == "POSITIVE\n", asked.stderr
        port = str(running.container.ports["metrics"])
        scraped = running.beside(server, sys.executable, "-c", SCRAPE, port)
        assert "valence_forecast_wait_seconds 0.0" in scraped.stdout
        ends(server)


def test_what_production_adds_is_not_in_the_pod() -> None:
    assert pod("production") == pod("embedded")


def test_mtls(folder: Path) -> None:
    security = pod("mtls")["securityContext"]
    tls = volume(folder, "tls", security["fsGroup"])
    authority = certificates.Authority()
    pair = authority.pair("valence")
    for name, content in (
        ("tls.crt", pair.certificate),
        ("tls.key", pair.key),
        ("ca.crt", authority.certificate),
    ):
        (tls / name).write_bytes(content)
        os.chown(tls / name, 0, security["fsGroup"])
        (tls / name).chmod(0o440)
    running = of("mtls", folder, tls=tls)
    with running.started() as server:
        serves(running, server)
        plain = running.beside(server, "valence", "health", "--timeout-seconds=5")
        assert plain.returncode == 1
        ends(server)


def test_a_model_of_ones_own(folder: Path) -> None:
    model = models.make_model(folder / "model", ["NEGATIVE", "POSITIVE"])
    (prepare,) = init_containers("own-model")
    name = prepare.environment["VALENCE_MODEL"]
    cache = volume(folder, "cache", pod("own-model")["securityContext"]["fsGroup"])
    running = of("own-model", folder, cache=cache)
    preparing = Namespace(running.pod, prepare, running.volumes, running.scratch)
    with hub(model, name) as origin:
        subprocess.run(
            [*preparing.within(network=True), *prepare.command],
            env=preparing.environment({"HF_ENDPOINT": origin.address}),
            timeout=START_SECONDS,
            check=True,
        )
        assert origin.fetched
    # The server's network is its own: it cannot ask the hub.
    with running.started() as server:
        serves(running, server)
        ends(server)


def test_a_pod_without_its_gpu_ends_and_says_so(folder: Path) -> None:
    cache = volume(folder, "cache", pod("gpu")["securityContext"]["fsGroup"])
    running = of("gpu", folder, cache=cache)
    with running.started() as server:
        said = "".join(server.lines())
        assert server.process.wait(START_SECONDS) == 2
        assert "VALENCE_DEVICE 'cuda': is not a device of this machine" in said
