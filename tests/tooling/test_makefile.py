"""The Makefile finds a Python by itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS, SWITCHED_OFF = "#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 127\n"


def make_an_environment(folder: Path, *options: str, commands: dict[str, str]) -> str:
    """Return what make prints where the PATH holds these commands and no others."""
    path, environment = folder / "bin", folder / "environment"
    path.mkdir()
    for name, script in commands.items():
        (path / name).write_text(script)
        (path / name).chmod(0o755)
    make = shutil.which("make")
    assert make
    return subprocess.run(
        [make, *options, f"VENV={environment}", f"{environment}/.service"],
        cwd=ROOT,
        env={"PATH": str(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ({"python3.11": RUNS}, "python3.11"),
        ({"python3.11": RUNS, "python3.12": RUNS, "python3.10": RUNS}, "python3.12"),
        ({"python3.13": RUNS, "python3.14": RUNS}, "python3.14"),
        ({"python3.12": RUNS, "python3.13": SWITCHED_OFF}, "python3.12"),
    ],
)
def test_the_newest_python_that_runs_makes_the_environment(
    tmp_path: Path, commands: dict[str, str], expected: str
) -> None:
    printed = make_an_environment(tmp_path, "--dry-run", commands=commands)

    assert f"{expected} -m venv" in printed


def test_a_machine_without_a_supported_python_is_told_so_in_one_line(tmp_path: Path) -> None:
    printed = make_an_environment(tmp_path, commands={"python3.10": RUNS})

    first, *rest = printed.splitlines()
    assert first.startswith("no Python here: install one of python3.14 python3.13")
    assert len(rest) == 1  # make's own word that the target failed
