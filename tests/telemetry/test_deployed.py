"""The dashboard, the alert rules and the page speak of what the service tells, and of all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from valence_service.telemetry.metrics import SECONDS

from tests.telemetry.conftest import Scraped
from tests.telemetry.expressions import metrics
from tests.telemetry.scrape import Scrape, scrape

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/valence.json").read_text())
PANELS = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
PAGE = (ROOT / "docs/observability.md").read_text()
LIBRARYS = ("process_", "python_")


@pytest.fixture(scope="module")
def told(scraped: Scraped) -> Scrape:
    return scrape(scraped.metrics)


def asked() -> Iterator[tuple[str, str]]:
    """Who asks, and the expression."""
    for panel in CHARTS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for rule in RULES:
        yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("who", "expression"), list(asked()))
def test_every_expression_asks_for_what_there_is(told: Scrape, who: str, expression: str) -> None:
    names = metrics(expression)
    assert names, who
    assert names <= told.names, who


def test_an_expression_that_is_none_or_asks_for_nothing_known_is_seen(told: Scrape) -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        metrics("sum(rate(valence_requests_total[5m])")
    assert metrics("sum(a) / on() (max_over_time(b[5m:1m]) > 1)") == {"a", "b"}
    assert not metrics("histogram_quantile(0.9, rate(valence_gone_bucket[5m]))") <= told.names


def test_the_dashboard_shows_every_metric_of_ours(told: Scrape) -> None:
    shown = {name for panel in CHARTS for t in panel["targets"] for name in metrics(t["expr"])}
    for family in told.families.values():
        if not family.name.startswith(LIBRARYS):
            assert {sample.name for sample in family.samples} & shown, family.name


def test_labels_that_are_asked_for_are_there(told: Scrape) -> None:
    label = re.compile(r'(code|reason|outcome|method)(?:=~?|!=)"([^"]*)"')
    known = {
        value for f in told.families.values() for s in f.samples for value in s.labels.values()
    }
    known |= {"INTERNAL", "UNKNOWN"}  # gRPC's names; there is a series once it has happened
    found = [
        value
        for _, text in asked()
        for _, values in label.findall(text)
        for value in values.split("|")
    ]
    assert found
    assert set(found) <= known


def test_grafanas_own_types_know_every_field_of_the_dashboard() -> None:
    register_default_plugins()
    read: Any = Dashboard.from_json(DASHBOARD)
    written = json.loads(JSONEncoder(sort_keys=True).encode(read))
    assert not list(_lost(DASHBOARD, written))


def _lost(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Paths of what was given and is not kept as it was."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from _lost(value, kept[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, value in enumerate(given):
            yield from _lost(value, kept[index], f"{path}[{index}]")
    elif given != kept:
        yield path


def test_every_panel_says_what_it_shows_and_in_which_unit() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({panel["title"] for panel in PANELS if panel["type"] == "row"}) >= 4
    for panel in CHARTS:
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        options = panel["options"]
        unit = panel["fieldConfig"]["defaults"].get("unit") or options["yAxis"]["unit"]
        assert unit, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]


def test_no_panel_lies_on_another() -> None:
    spots = [panel["gridPos"] for panel in PANELS]
    for spot in spots:
        assert 0 <= spot["x"] < spot["x"] + spot["w"] <= 24
    for one, other in combinations(spots, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["for"], rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["alert"] in PAGE


def test_the_page_has_every_metric_and_no_other(told: Scrape) -> None:
    rows = re.findall(r"^\| `(valence_\w+)`", PAGE, re.MULTILINE)
    assert len(rows) == len(set(rows))
    ours = {
        # A counter's or an info's family is named without its ending.
        next(iter(names)) if len(names) == 1 else family.name
        for family in told.families.values()
        if not family.name.startswith(LIBRARYS)
        for names in [{sample.name for sample in family.samples}]
    }
    assert set(rows) == ours


def test_the_page_names_the_labels(told: Scrape) -> None:
    for line in re.findall(r"^\| `valence_.*$", PAGE, re.MULTILINE):
        name, labels = re.findall(r"`([^`]*)`", line)[0], line.split("|")[2]
        said = set(re.findall(r"`(\w+)`", labels))
        have = {
            label
            for family in told.families.values()
            for sample in family.samples
            if sample.name.startswith(name)
            for label in sample.labels
        } - {"le"}
        assert said == have, name


def test_the_bounds_are_sorted_and_reach_from_half_a_millisecond_to_ten_seconds() -> None:
    assert list(SECONDS) == sorted(set(SECONDS))
    assert (SECONDS[0], SECONDS[-1]) == (0.0005, 10.0)
