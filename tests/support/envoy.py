"""Envoy as a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx

ADMIN = "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }\n"


@dataclass(frozen=True)
class Envoy:
    """A running Envoy: where it listens, and where it tells of itself."""

    address: str
    admin: str

    def healthy(self) -> int:
        """How many servers it sends calls to."""
        return re.findall(r"::health_flags::(\S+)", self._clusters()).count("healthy")

    def active(self, address: str) -> int:
        """How many calls it waits for from a server, streams included."""
        (found,) = re.findall(rf"::{re.escape(address)}::rq_active::(\d+)", self._clusters())
        return int(found)

    def _clusters(self) -> str:
        return httpx.get(f"{self.admin}/clusters").text


@contextmanager
def enveloped(configuration: str, listener: str, folder: Path) -> Iterator[Envoy]:
    """Envoy with this configuration; its files in the folder, which may hold some of its own."""
    (folder / "envoy.yaml").write_text(ADMIN + configuration)
    binary = Path(sys.executable).parent / "envoy"
    flags = ("--disable-hot-restart", "--concurrency", "1", "-l", "warning")
    paths = ("-c", "envoy.yaml", "--admin-address-path", "admin")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([binary, *paths, *flags], cwd=folder, stderr=log)
    try:
        yield _listening(listener, folder, process)
    finally:
        process.terminate()
        process.wait()


def _listening(listener: str, folder: Path, process: subprocess.Popen[bytes]) -> Envoy:
    """Where it listens; it says so by its admin port alone."""
    while not (folder / "admin").exists() or not (folder / "admin").read_text():
        assert process.poll() is None, (folder / "log").read_text()
    admin = f"http://{(folder / 'admin').read_text()}"
    with httpx.Client(base_url=admin) as client:
        while not (found := re.search(rf"{listener}::(\S+)", client.get("/listeners").text)):
            assert process.poll() is None, (folder / "log").read_text()
    return Envoy(found[1], admin)
