"""Every architecture is served right or refused, and docs/models.md says how."""

from __future__ import annotations

import pytest

from tests.support import sweep
from tests.support.architectures import architectures


@pytest.mark.full
def test_every_architecture_is_served_right_or_refused() -> None:
    kinds = architectures()
    outcomes = sweep.try_all(kinds)

    assert sorted(outcomes) == kinds
    assert len(kinds) >= 45
    for kind, outcome in outcomes.items():
        if outcome["served"] == "refused":
            assert kind in outcome["reason"]
        else:
            assert outcome["miss"] < sweep.WITHIN, outcome
    assert sweep.told() == sweep.table(outcomes), "write the page: python -m tests.support.sweep"


def test_the_page_names_every_architecture_once() -> None:
    told = sweep.told()
    assert sorted(told.split("`")[1::2]) == architectures()
