"""The line that makes Python stubs makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.docs.documents import ROOT, examples

# The environment of protoc, which `make test` sets up.
PROTOS_BIN = ROOT / ".venv-protos/bin"


def test_stubs_for_python(tmp_path: Path) -> None:
    (line,) = (e.code for e in examples("") if e.code.startswith("python -m grpc_tools.protoc "))
    (common,) = PROTOS_BIN.parent.glob("lib/python*/site-packages")
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    subprocess.run(
        ["/bin/bash", "-c", line.replace("COMMON", str(common))],
        cwd=tmp_path,
        env={"PATH": f"{PROTOS_BIN}:/usr/bin:/bin"},
        check=True,
    )
    made = {path.name for path in (tmp_path / "valence/v1").iterdir()}
    assert made == {"sentiment_pb2.py", "sentiment_pb2_grpc.py"}
