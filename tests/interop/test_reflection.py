"""The server describes itself: a tool that knows nothing of it makes its calls."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.interop.programs import PATIENCE_SECONDS, README, ROOT
from tests.interop.refusals import REFUSALS
from tests.support.server import Server

Shell: TypeAlias = Callable[[str], subprocess.CompletedProcess[str]]
CURL = ".venv/bin/buf curl --protocol grpc --http2-prior-knowledge"
ADDRESS = "127.0.0.1:50051"
CLASSIFY = f"http://{ADDRESS}/valence.v1.SentimentService/Classify"


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    """Runs a command of the documentation against the server of these tests."""

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", "-c", command.replace(ADDRESS, server.address)],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            check=False,
            env=os.environ | {"BUF_CACHE_DIR": str(tmp_path)},
        )

    return run


def test_a_unary_call(shell: Shell) -> None:
    said = json.loads(shell(f'{CURL} -d \'{{"text": "good"}}\' {CLASSIFY}').stdout)
    assert said["sentiment"]["polarity"] == "POLARITY_POSITIVE"
    assert 0.5 < said["sentiment"]["score"] <= 1


def test_the_stream_of_the_page(shell: Shell) -> None:
    (command,) = re.findall(r"```\n(\.venv/bin/buf curl .*?)```", README, re.DOTALL)
    # One message after the other, without commas.
    said = shell(command).stdout.replace("}\n{", "},\n{")
    good, bad = json.loads(f"[{said}]")
    assert (good["id"], good["sentiment"]["label"]) == ("a", "POSITIVE")
    assert (bad["id"], bad["error"]) == ("b", REFUSALS["no text"].errors[0])


def test_a_list_of_methods(shell: Shell) -> None:
    done = shell(f"{CURL} --list-methods http://{ADDRESS}")
    assert (done.returncode, done.stderr) == (0, "")
    methods = {"Classify", "BatchClassify", "StreamClassify", "GetModel"}
    assert {f"valence.v1.SentimentService/{method}" for method in methods} <= set(
        done.stdout.split()
    )


def test_an_error(shell: Shell) -> None:
    said = json.loads(shell(f"{CURL} -d '{{}}' {CLASSIFY}").stderr)
    assert said["code"] == "invalid_argument"
    assert said["message"] == REFUSALS["no text"].errors[0]["message"]
    kinds = [detail["type"] for detail in said["details"]]
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.BadRequest"]
