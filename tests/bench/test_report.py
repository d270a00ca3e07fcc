"""The benchmark's page keeps a section for each kind of processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import machine, report
from bench.load import PERCENTILES
from bench.plots import OURS
from bench.subjects import BARE, OURS_BY_HTTP, OURS_WITH_ITS, TUTORIALS_OWN

LOADS = {
    **{f"texts/s, {callers} callers": 100.0 for callers in (1, 64)},
    **{
        f"ms, p{percentile}, {callers} callers": 9.0
        for callers in (1, 64)
        for percentile in PERCENTILES
    },
    "texts/s, mixed, 64 callers": 50.0,
    "texts/s, stream": 120.0,
    "start seconds": 1.0,
    "memory MB": 300.0,
    "memory MB, after mixed": 320.0,
    "ms, beyond the engine": 0.5,
}


def runs(rate: float) -> report.Runs:
    servers = (OURS, OURS_BY_HTTP, "tutorial", TUTORIALS_OWN, OURS_WITH_ITS)
    found = {name: {measure: [value] for measure, value in LOADS.items()} for name in servers}
    found[OURS]["texts/s, 64 callers"] = [rate]
    found[report.ENGINE] = {"texts/s, short": [200.0], "texts/s, mixed": [90.0]}
    found[BARE.name] = {
        name: [0.3] for name in ("core ms, call", "core ms, text", "ms, p50, 1 callers")
    }
    return found


def test_a_kind_of_processor_overwrites_its_own_section_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("no section yet")
    for kind, rate in (("vnni", 711.0), ("avx2", 222.0), ("vnni", 733.0)):
        monkeypatch.setattr(machine, "kind", lambda kind=kind: kind)
        report.write(runs(rate), tmp_path)
        assert f"| **Valence** | {rate:.0f} |" in page.read_text()
    text = page.read_text()
    assert "| **Valence** | 711 |" not in text
    assert "| **Valence** | 222 |" in text
    # The newest stands first.
    assert text.index(machine.KINDS["vnni"]) < text.index(machine.KINDS["avx2"])
    assert text.count("## The servers") == 1
    for kind in ("vnni", "avx2"):
        for name in report.PLOTS:
            assert f"](benchmarks/{kind}/{name}.svg)" in text
            assert (tmp_path / "benchmarks" / kind / f"{name}.svg").exists()


def test_the_page_can_be_written_anew() -> None:
    page = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text()
    assert page.startswith(report.PAGE)
    assert set(report._other_sections(page, "")) <= set(machine.KINDS)
    assert machine.KINDS["vnni"] in report._other_sections(page, "avx2")["vnni"]
