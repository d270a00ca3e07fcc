"""The lines of the documents that start a server start one."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from valence_service.arguments import read_settings

from tests.docs.documents import Example, examples
from tests.support import certificates
from tests.support.hub import hub
from tests.support.server import Server, environment

# `make run` passes its flags to the same command.
LINE = re.compile(r'^(?:make run ARGS="(?P<flags>.*)"|(?P<line>(?:\w+=\S+ )*valence-serve.*))$')
# A test listens on a port of its own, on this machine alone, and keeps its files to itself.
HERE = {"0.0.0.0": "127.0.0.1", "/var/cache/valence": "cache", "9464": "0"}  # noqa: S104


def lines() -> Iterator[tuple[Example, str]]:
    for example in examples(""):
        for line in example.code.splitlines():
            if found := LINE.match(line):
                yield example, found["line"] or f"valence-serve {found['flags']}"


@pytest.fixture
def folder(two_labels: str, tmp_path: Path) -> Path:
    """Where a reader would type them: with a model, a certificate and tokens."""
    (tmp_path / "my-model").symlink_to(two_labels)
    pair = certificates.Authority().pair()
    (tmp_path / "server.pem").write_bytes(pair.certificate)
    (tmp_path / "server.key").write_bytes(pair.key)
    for example in examples(""):
        for line in example.code.splitlines():
            if line.startswith("openssl "):
                subprocess.run(["/bin/bash", "-c", line], cwd=tmp_path, check=True)
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600
    return tmp_path


LINES = pytest.mark.parametrize("line", [pytest.param(line, id=f"{at}") for at, line in lines()])


@LINES
def test_a_line_has_flags_that_go_together(line: str) -> None:
    words = shlex.split(line, comments=True)
    read_settings(words[words.index("valence-serve") + 1 :])


@pytest.mark.full
@LINES
def test_a_line_that_serves(line: str, folder: Path, two_labels: str) -> None:
    for theirs, ours in HERE.items():
        line = line.replace(theirs, ours)
    names = re.findall(r"--model (\w\S*)", line)
    with hub(two_labels, *names) as models:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        process = subprocess.Popen(
            ["/bin/bash", "-c", f"exec env {line}"],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            env=environment({**models.environment(folder), "PATH": path, "VALENCE_PORT": "0"}),
        )
        server = Server(process)
        try:
            if "--prepare" in line:
                server.event("prepared")
                code = process.wait(30)
            else:
                server.event("SERVING")
                code = server.end()
        finally:
            process.kill()
            process.wait()
            assert process.stderr
            process.stderr.close()
    assert code == 0


def test_there_are_such_lines() -> None:
    assert len(list(lines())) >= 7
