"""Find the form in which OpenVINO computes a model right: padded, or one text at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from valence_service.backends.self_check import WrongAnswers
from valence_service.backends.source import CannotConvert

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from valence_service.backends.artifact import ModelArtifact

    T = TypeVar("T")

# OpenVINO raises RuntimeError for what it cannot compile.
_WRONG = (WrongAnswers, RuntimeError)
log = structlog.get_logger()


def find_serving_form(
    artifact: ModelArtifact,
    try_form: Callable[[ModelArtifact], T],
    *,
    name: str,
) -> T:
    """Return the result of try_form for the first form that it does not find wrong.

    try_form raises WrongAnswers or OpenVINO's errors. Raise CannotConvert where no form is right.
    """
    cause: Exception
    try:
        return try_form(artifact)
    except _WRONG as error:
        cause = error
    if artifact.input_spec.pad_id is not None:
        try:
            result = try_form(artifact.one_by_one())
        except _WRONG as error:
            cause = error
        else:
            log.warning("one_text_at_a_time", model=name, reason=_words(cause))
            return result
    raise CannotConvert(
        f"OpenVINO computes {name} wrong: --engine pipeline computes it ({_words(cause)})"
    ) from cause


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
