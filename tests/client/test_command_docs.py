"""docs/command.md says what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.command import environment
from tests.support.server import serving

PAGE = Path(__file__).parents[2] / "docs" / "command.md"
# What differs between machines, moments and models: fractions, times, the precision, the weights.
VARYING = re.compile(r"-?0\.\d+|\S+T\d\d:\d\d:\d\d\S+|by openvino in .*|revision .*")


def examples() -> list[tuple[str, str]]:
    """Each command of the page and what is shown after it."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        found += re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    return found


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose ``valence`` asks a server of the embedded model."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "valence"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m valence_client "$@"\n')
    command.chmod(0o755)
    with serving() as server:
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        yield environment({"PATH": path, "VALENCE_ADDRESS": server.address})


def test_every_example(shell: dict[str, str], tmp_path: Path) -> None:
    code = 0
    all_of_them = examples()
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
