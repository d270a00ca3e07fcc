"""Prometheus's own tool accepts the scrape and the alert rules, which fire when they should."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.server import launched
from tests.telemetry.scrape import fetch

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus"
UNPACKED = ROOT / "build/toolchains/prometheus/bin/promtool"  # by `make toolchains`
PROMTOOL = str(UNPACKED) if UNPACKED.exists() else "promtool"
pytestmark = pytest.mark.prometheus


def promtool(*arguments: str, given: str = "") -> str:
    """What it says; it is content."""
    ended = subprocess.run(
        [PROMTOOL, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_the_scrape(two_labels: str) -> None:
    with launched("--model", two_labels, "--metrics-port", "0") as server:
        text = fetch(server.event("SERVING")["metrics"])
        assert server.end() == 0
    assert promtool("check", "metrics", given=text) == ""


def test_the_alert_rules() -> None:
    assert "8 rules found" in promtool("check", "rules", str(RULES / "alerts.yaml"))


def test_the_alerts_fire_when_they_should_and_not_else() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(RULES / "alerts.test.yaml"))
