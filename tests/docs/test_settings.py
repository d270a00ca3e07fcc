"""The page of the settings names each, with its default."""

from __future__ import annotations

import re

from valence_service.settings import Settings

from tests.docs.documents import ROOT

ROW = re.compile(r"^\| (`--[^|]*)\|([^|]*)\|", re.MULTILINE)
# What the page says in words.
IN_WORDS = {
    *("model", "cores", "workers", "cache_dir", "public_health", "public_reflection"),
    *("self_check", "exit_confidence"),
}


def test_every_setting_is_on_the_page_with_its_default() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    told = {
        flag.strip("`-").replace("-", "_"): default.strip(" `")
        for flags, default in ROW.findall(page)
        for flag in re.findall(r"`--[\w-]+`", flags)
    }
    told = {name.removeprefix("no_"): default for name, default in told.items()}
    told["verbose"] = ""  # its row begins with -v
    assert set(told) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        if name not in IN_WORDS:
            default = (
                "" if field.default in (None, False) else f"{field.default}".removesuffix(".0")
            )
            assert told[name] == default, name
