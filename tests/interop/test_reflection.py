"""The server describes itself: tools that know nothing of it make its calls."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.interop.programs import PATIENCE_SECONDS, ROOT
from tests.interop.refusals import REFUSALS
from tests.support.server import Server

BUF = ROOT / ".venv/bin/buf"
BufCurl: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
SERVICE = "valence.v1.SentimentService"


@pytest.fixture
def buf_curl(server: Server, tmp_path: Path) -> BufCurl:
    def call(method: str, *messages: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--data", "@-"),
                f"http://{server.address}/{SERVICE}/{method}",
            ],
            input="\n".join(map(json.dumps, messages)),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            check=False,
            env=os.environ | {"BUF_CACHE_DIR": str(tmp_path)},
        )

    return call


def test_a_unary_call(buf_curl: BufCurl) -> None:
    said = json.loads(buf_curl("Classify", {"text": "I loved every minute of it"}).stdout)
    assert said["sentiment"]["polarity"] == "POLARITY_POSITIVE"
    assert 0.5 < said["sentiment"]["score"] <= 1


def test_a_stream(buf_curl: BufCurl) -> None:
    done = buf_curl("StreamClassify", {"id": "a", "text": "good"}, {"id": "b", "text": ""})
    # One after the other, without commas.
    good, bad = json.loads("[" + done.stdout.replace("}\n{", "},\n{") + "]")
    assert (good["id"], good["sentiment"]["label"]) == ("a", "POSITIVE")
    assert (bad["id"], bad["error"]) == ("b", REFUSALS["no text"].errors[0])


def test_an_error(buf_curl: BufCurl) -> None:
    done = buf_curl("Classify", {})
    said = json.loads(done.stderr)
    assert (said["code"], said["message"]) == (
        "invalid_argument",
        "text: is empty or only white space",
    )
    kinds = [detail["type"] for detail in said["details"]]
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.BadRequest"]
