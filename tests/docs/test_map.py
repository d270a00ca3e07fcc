"""The map of the code shows every file of the service, and none that is gone."""

from __future__ import annotations

import re

from tests.docs.documents import ROOT


def test_the_map_is_of_this_country() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    start = contributing.index("service/valence_service/\n")
    shown = set(re.findall(r"\b\w+\.py\b", contributing[start : contributing.index("```", start)]))
    there = {path.name for path in (ROOT / "service/valence_service").rglob("*.py")}
    assert shown == there - {"__init__.py"}
