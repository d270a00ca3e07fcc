"""The four distributions, as a user gets them: built, checked, installed, and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from tests.support.server import Server

pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
# As the Makefile has it for the project's own distributions: the lock has no hash of them.
UNLOCKED = {"PIP_CONSTRAINT": "", "PIP_REQUIRE_HASHES": ""}
DISTRIBUTIONS = ("protos", "model", "service", "client")
MODULES = ("valence.v1.sentiment_pb2_grpc", "valence_model", "valence_service", "valence_client")


def run(*command: str | Path, **environment: str) -> str:
    """Return what a command prints; fail with all of it where the command fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def sdists(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sdists")
    for name in DISTRIBUTIONS:
        build = ("-m", "hatchling", "build", "--target", "sdist", "--directory", folder)
        subprocess.run((sys.executable, *build), cwd=ROOT / name, check=True)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def wheels(sdists: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Built from the sdists, which so hold all that a wheel needs."""
    folder = tmp_path_factory.mktemp("wheels")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, *sdists, **UNLOCKED)
    return sorted(folder.iterdir())


def metadata_of(archive: Path) -> bytes:
    """Return the core metadata of a wheel or an sdist."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return next(wheel.read(n) for n in wheel.namelist() if n.endswith("/METADATA"))
    with tarfile.open(archive) as sdist:
        member = sdist.extractfile(f"{archive.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert member
        return member.read()


def test_each_has_an_sdist_and_a_wheel_with_valid_metadata(
    sdists: list[Path], wheels: list[Path]
) -> None:
    assert len(sdists) == len(wheels) == len(DISTRIBUTIONS)
    for archive in (*sdists, *wheels):
        metadata = Metadata.from_email(metadata_of(archive), validate=True)
        assert metadata.name.startswith("valence-")
        assert metadata.license_expression == "Apache-2.0"
        assert metadata.description_content_type == "text/markdown"
        assert metadata.description


def test_an_empty_environment_serves_and_asks(wheels: list[Path], tmp_path: Path) -> None:
    venv.create(tmp_path, symlinks=True)
    bin_folder = tmp_path / "bin"
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", bin_folder / "python", "install")
    needed = tmp_path / "needed.txt"
    needed.write_text(
        run(sys.executable, ".ci/dependencies", "protos", "model", "service", "client[cli]")
    )

    run(*pip, "--requirement", needed, PIP_CONSTRAINT=str(ROOT / "constraints.txt"))
    run(*pip, "--no-deps", "--no-index", *wheels, **UNLOCKED)

    run(sys.executable, "-m", "pip", "--python", bin_folder / "python", "check")
    run(bin_folder / "python", "-I", "-c", f"import {', '.join(MODULES)}")
    assert "--max-queue-texts" in run(bin_folder / "valence-serve", "--help")
    assert "classify" in run(bin_folder / "valence", "--help")
    command = (bin_folder / "valence-serve", "--port", "0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        server = Server(process)
        try:
            address = server.event("SERVING")["address"]
            ask = (bin_folder / "valence", "classify", "--address", address, "--json")
            answer = json.loads(run(*ask, "I loved every minute of it"))
        finally:
            assert server.end() == 0
    assert answer["label"] == "POSITIVE"
