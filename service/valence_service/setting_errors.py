"""Say what is wrong with a setting, in one line that names it and says what to do."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails


class SettingsError(Exception):
    """A setting is unknown or wrong; the message names it and says what to do."""


PREFIX = "VALENCE_"
# The `valence` command and the client read these.
_CLIENT = re.compile(r"VALENCE_(ADDRESS|CLIENT_\w+)")
# Kubernetes sets these in every pod, for each Service whose name begins with "valence". The value
# of NAME_PORT is a URL: a number there is somebody's slip of the pen.
_KUBERNETES = re.compile(
    r"VALENCE_(\w+_)?SERVICE_HOST=.*"
    r"|VALENCE_(\w+_)?SERVICE_PORT(_\w+)?=\d*"
    r"|VALENCE_(\w+_)?PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*"
    r"|VALENCE_(\w+_)?PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*"
)


def find_unknown_variable(environment: Mapping[str, str], known: Sequence[str]) -> str | None:
    """Return the first VALENCE_ variable that neither the server nor anybody else knows."""
    for name, value in environment.items():
        if (
            name.startswith(PREFIX)
            and name not in known
            and not _CLIENT.fullmatch(name)
            and not _KUBERNETES.fullmatch(f"{name}={value}")
        ):
            return name
    return None


def flag_of(setting: str) -> str:
    """Return the flag of a setting."""
    return "--" + setting.replace("_", "-")


def variable_of(setting: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + setting.upper()


def suggest(name: str, known: Sequence[str]) -> str:
    """Return a hint that ends the line, if a known name is close to this one."""
    close = difflib.get_close_matches(name, known, n=1) if name not in known else []
    return f"; did you mean {close[0]}?" if close else ""


def explain(error: ErrorDetails) -> str:
    """Describe one wrong value as the operator gave it, or settings that contradict each other."""
    reason = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not error["loc"]:
        return reason
    setting = str(error["loc"][0])
    variable = variable_of(setting)
    given = error["input"]
    hint = ""
    if variable.endswith("_PORT") and str(given).startswith("tcp://"):
        service = variable.removesuffix("_PORT").lower().replace("_", "-")
        hint = f"; Kubernetes sets it for a Service named {service}: use enableServiceLinks: false"
    return f"{wrong_value(setting, given)}: {reason}{hint}"


def wrong_value(setting: str, given: object) -> str:
    """Return a setting and its value as the operator gave them: by variable or by flag."""
    variable = variable_of(setting)
    name = variable if os.environ.get(variable) == str(given) else flag_of(setting)
    return f"{name} {given if isinstance(given, Path) else repr(given)}"
