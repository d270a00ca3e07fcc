"""docs/command.md says what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.command import environment
from tests.docs.documents import ROOT, examples
from tests.support.server import Server

PAGE = ROOT / "docs/command.md"
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
# What differs between machines, moments and models: fractions, times, the precision, the weights.
VARYING = re.compile(r"-?0\.\d+|\S+T\d\d:\d\d:\d\d\S+|by openvino in .*|revision .*")


def commands() -> list[tuple[str, str]]:
    """Each command of the page and what is shown after it."""
    return [
        pair
        for example in examples("")
        if example.path == PAGE
        for pair in COMMAND.findall(example.code)
    ]


@pytest.fixture
def shell(embedded: Server, tmp_path: Path) -> dict[str, str]:
    """An environment whose ``valence`` asks a server of the embedded model."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "valence"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m valence_client "$@"\n')
    command.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return environment({"PATH": path, "VALENCE_ADDRESS": embedded.address})


@pytest.mark.full
def test_every_example(shell: dict[str, str], tmp_path: Path) -> None:
    code = 0
    all_of_them = commands()
    assert all_of_them
    for command, shown in all_of_them:
        name = command.removeprefix("cat ")
        if command.startswith("cat ") and not (tmp_path / name).exists():
            (tmp_path / name).write_text(shown)
        done = subprocess.run(
            ["/bin/bash", "-c", f"(exit {code}); {command}"],
            cwd=tmp_path,
            env=shell,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        code = done.returncode
        assert VARYING.sub("…", done.stdout) == VARYING.sub("…", shown), command
