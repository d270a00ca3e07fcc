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

log = structlog.get_logger()


def find_serving_form(
    artifact: ModelArtifact,
    try_form: Callable[[ModelArtifact], T],
    *,
    name: str,
) -> T:
    """Return the result of try_form for the first form that it does not find wrong.

    try_form raises WrongAnswers. Raise CannotConvert where every form is wrong.
    """
    try:
        return try_form(artifact)
    except WrongAnswers as error:
        reason = str(error)
        cause = error
    if artifact.input_spec.pad_id is not None:
        log.warning("one_text_at_a_time", model=name, reason=reason)
        try:
            return try_form(artifact.one_by_one())
        except WrongAnswers as error:
            reason, cause = str(error), error
    raise CannotConvert(
        f"OpenVINO computes {name} wrong: --engine pipeline computes it ({reason})"
    ) from cause
