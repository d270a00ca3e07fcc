"""Tools that know HTTP, Connect or OpenAPI, and nothing of the service, get its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import PATIENCE_SECONDS
from tests.interop.refusals import REFUSALS
from tests.interop.test_envoy import descriptors
from tests.support.server import Server, serving

BIN = Path(sys.executable).parent
SERVICE = "valence.v1.SentimentService"


def tool(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
        env=os.environ | {"BUF_CACHE_DIR": str(folder), "SCHEMATHESIS_HOOKS": "hooks"},
    )


@pytest.mark.parametrize("protocol", ["connect", "grpcweb"])
def test_buf(server: Server, protocol: str, tmp_path: Path) -> None:
    # Reflection is gRPC's, so the schema comes from a file.
    (tmp_path / "image.binpb").write_bytes(descriptors())
    buf = (BIN / "buf", "curl", "--protocol", protocol, "--schema", "image.binpb")
    url = f"http://{server.http}/{SERVICE}"

    good = tool(*buf, "--data", '{"text": "good"}', f"{url}/Classify", folder=tmp_path)
    assert json.loads(good.stdout)["sentiment"]["label"] == "POSITIVE", good.stderr
    several = '{"texts": ["good", "bad", ""]}'
    batch = tool(*buf, "--data", several, f"{url}/BatchClassify", folder=tmp_path)
    first, second, third = json.loads(batch.stdout)["results"]
    assert [r["sentiment"]["label"] for r in (first, second)] == ["POSITIVE", "NEGATIVE"]
    assert third["error"]["message"].startswith("texts[2]: ")
    model = tool(*buf, f"{url}/GetModel", folder=tmp_path)
    assert json.loads(model.stdout)["model"]["limits"]["maxBatchTexts"] == 64

    bad = tool(*buf, "--data", "{}", f"{url}/Classify", folder=tmp_path)
    error = json.loads(bad.stderr)
    (expected,) = REFUSALS["no text"].errors
    assert (error["code"], error["message"]) == ("invalid_argument", expected["message"])
    kinds = [detail["type"] for detail in error["details"]]
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.BadRequest"]


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
def test_curl(server: Server, version: str, tmp_path: Path) -> None:
    """In every version that it may begin with: the second asks for an upgrade."""
    curl = ("curl", "--silent", version, "--data", '{"text": "I loved it"}')
    kind = ("--header", "content-type: application/json")
    answered = tool(*curl, *kind, f"http://{server.http}/analyze", folder=tmp_path)
    assert json.loads(answered.stdout)["label"] == "POSITIVE"
    lines = tmp_path / "reviews.ndjson"
    lines.write_text('"good"\n"bad"\n')
    upload = ("curl", "--silent", version, "--request", "POST", "--upload-file", lines)
    streamed = tool(*upload, f"http://{server.http}/v1/stream", folder=tmp_path)
    *results, end = map(json.loads, streamed.stdout.splitlines())
    assert [r["sentiment"]["label"] for r in results] == ["POSITIVE", "NEGATIVE"]
    assert end["end"]["complete"]


SETTINGS = """
# A deadline of no time passes, and a body that says it is packed is not unpacked.
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501, 504]
# Texts must say something, and models be served, which no schema can tell.
positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 429, 501, 504]
"""
HOOKS = """
import json
import schemathesis

@schemathesis.serializer("application/x-ndjson")
def ndjson(_, value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace")
"""


@pytest.fixture(scope="module")
def small(two_labels: str) -> Iterator[Server]:
    with serving("--model", two_labels, "--precision", "f32", "--http-port", "0") as running:
        yield running
        assert running.end() == 0


@pytest.mark.full
def test_schemathesis(small: Server, tmp_path: Path) -> None:
    """The service does what its OpenAPI document says, whatever it is sent."""
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    (tmp_path / "hooks.py").write_text(HOOKS)
    document = f"http://{small.http}/openapi.json"
    options = ("--max-examples", "10", "--seed", "1", "--continue-on-failure")
    done = tool(BIN / "schemathesis", "run", document, *options, folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Tested: 11" in done.stdout
