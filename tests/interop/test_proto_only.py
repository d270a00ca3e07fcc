"""The .proto is enough: stubs that a caller generated get the same answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, serving

ROOT = Path(__file__).parents[2]
# Has grpcio-tools and nothing of ours; `make test` makes it.
PYTHON = ROOT / ".venv-protos/bin/python"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_generated_stubs_get_the_same_answers(server: Server, tmp_path: Path) -> None:
    site = subprocess.check_output(
        [PYTHON, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], text=True
    ).strip()
    subprocess.check_call(
        [
            *(PYTHON, "-m", "grpc_tools.protoc"),
            *(f"--proto_path={ROOT / 'protos'}", f"--proto_path={site}"),
            *(f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"),
            "valence/v1/sentiment.proto",
        ]
    )
    said = json.loads(
        subprocess.check_output(
            [PYTHON, Path(__file__).with_name("caller.py"), tmp_path, server.address], text=True
        )
    )
    assert [label for label, _ in said["unary"]] == ["POSITIVE", "NEGATIVE", "POSITIVE"]
    for way in ("batch", "stream"):
        for (label, score), (expected_label, expected) in zip(
            said[way], said["unary"], strict=True
        ):
            assert label == expected_label
            assert score == pytest.approx(expected, abs=1e-5)
    assert all(name.startswith(("valence.v1", "valence")) for name in said["modules"])
    assert "valence_client" not in said["modules"]
