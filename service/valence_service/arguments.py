"""Read the settings: a flag, or else a VALENCE_ environment variable, or else the default."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_settings import CliApp
from pydantic_settings import SettingsError as PydanticSettingsError

from valence_service.setting_errors import (
    SettingsError,
    explain,
    find_unknown_variable,
    flag_of,
    suggest,
    variable_of,
)
from valence_service.setting_rules import check_together
from valence_service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_settings(arguments: Sequence[str]) -> Settings:
    """Return the settings of this process. Exit after --help; raise SettingsError."""
    variables = [variable_of(setting) for setting in Settings.model_fields]
    if unknown := find_unknown_variable(os.environ, variables):
        raise SettingsError(f"unknown setting {unknown}{suggest(unknown, variables)}")
    try:
        settings = CliApp.run(Settings, cli_args=list(arguments))
    except PydanticSettingsError as error:
        reason = str(error).removeprefix("error parsing CLI: ")
        wrong = (
            next((word for word in reason.split() if word.startswith("-")), "")
            .split("=")[0]
            .rstrip(":")
        )
        hint = suggest(wrong, [flag_of(setting) for setting in Settings.model_fields])
        raise SettingsError(f"{reason}{hint}") from error
    except ValidationError as error:
        raise SettingsError("; ".join(explain(item) for item in error.errors())) from error
    check_together(settings)
    return settings
