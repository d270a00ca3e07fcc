"""What the command prints, for people and as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from valence_client._status import UNREACHABLE
from valence_client.errors import DeadlineExceeded, ValenceError

if TYPE_CHECKING:
    from valence_client.results import ModelInfo, Outcome

# Enough of a text to know which one it was that failed.
QUOTED_CHARACTERS = 60


def outcome_line(text: str, outcome: Outcome) -> str:
    """``POSITIVE  0.97  I loved every minute of it``."""
    shown = _one_line(text)
    if isinstance(outcome, ValenceError):
        if len(shown) > QUOTED_CHARACTERS:
            shown = shown[:QUOTED_CHARACTERS] + "…"
        return f'valence: {outcome} (of "{shown}")'
    line = f"{outcome.label:<8}  {outcome.score:.2f}  {shown}"
    if outcome.truncated:
        line += f"  (read {outcome.tokens_used} of {outcome.tokens_total} tokens)"
    return line


def outcome_json(text: str, outcome: Outcome) -> str:
    """The text with the fields of its sentiment, or with its error."""
    if isinstance(outcome, ValenceError):
        error = {"message": str(outcome), **vars(outcome), "code": outcome.code.name}
        return _json({"text": text, "error": error})
    return _json({"text": text, **dataclasses.asdict(outcome)})


def model_lines(model: ModelInfo) -> str:
    """The model, a fact a line."""
    labels = ", ".join(
        f"{label.name} ({label.polarity})"
        if label.valence is None
        else f"{label.name} ({label.polarity}, {label.valence:+g})"
        for label in model.labels
    )
    limits = model.limits
    because = f" ({model.engine_reason})" if model.engine_reason else ""
    return (
        f"model      {model.name}\n"
        f"revision   {model.revision}\n"
        f"labels     {labels}\n"
        f"limits     {limits.max_tokens} tokens read and {limits.max_text_bytes} bytes of a text, "
        f"{limits.max_batch_texts} texts in a batch\n"
        f"computed   by {model.engine} in {model.precision} on {model.device}{because}"
    )


def model_json(model: ModelInfo) -> str:
    """The model's fields."""
    return _json(dataclasses.asdict(model))


def failure(error: ValenceError, *, address: str, timeout_seconds: float) -> str:
    """Why the command has no answer, and which of its flags may help."""
    if error.reason == UNREACHABLE:
        return f"no server answers at {address}: start one with `make run` or give --address"
    if isinstance(error, DeadlineExceeded):
        return (
            f"no answer from {address} within {timeout_seconds:g} s: "
            "allow more with --timeout-seconds"
        )
    return str(error)


def _one_line(text: str) -> str:
    """Without line ends, and without what could steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
