"""The soak runs, for a few seconds.

Each kind of its traffic has a test of its own here, which `make test` runs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import environment

ROOT = Path(__file__).parents[2]


@pytest.mark.full
def test_the_soak_finds_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.soak", "--minutes", "0.1", "--model", "tiny"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=ROOT,
        env=environment(),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for kind in ("unary", "with a deadline", "cancelled", "poison", "garbage", "broken HTTP/2"):
        assert f"\n{kind}  " in ended.stdout
    assert "health: SERVING" in ended.stdout
