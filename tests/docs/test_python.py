"""Every Python example in the documents runs against the embedded model, as it is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import Example, examples
from tests.support.server import Server

# Those of tritonclient run in its own environment: `make clients`.
EXAMPLES = [each for each in examples("python") if "tritonclient" not in each.code]


@pytest.mark.parametrize(
    "example",
    # Those of transformers alone import torch.
    [
        pytest.param(each, marks=[] if "valence_client" in each.code else [pytest.mark.full])
        for each in EXAMPLES
    ],
    ids=str,
)
def test_example(example: Example, embedded: Server, tmp_path: Path) -> None:
    (tmp_path / "reviews.txt").write_text("I loved it.\n\nThe food was cold.\n")
    code = example.code.replace("127.0.0.1:50051", embedded.address)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr


@pytest.mark.full
def test_examples_of_the_client_are_typed(tmp_path: Path) -> None:
    files = []
    for example in EXAMPLES:
        if "valence_client" in example.code:
            files.append(tmp_path / f"{str(example).replace('/', '_').replace(':', '_')}.py")
            files[-1].write_text(example.code)
    assert len(files) >= 5
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull]
    checked = subprocess.run(
        [*command, "--cache-dir", tmp_path / "cache", "--scripts-are-modules", *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
