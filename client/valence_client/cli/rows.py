"""Classify rows, in one stream or in batches."""

from __future__ import annotations

import dataclasses
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING

from valence_client.errors import (
    DeadlineExceeded,
    InvalidText,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    ValenceError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valence_client._requests import Overlength
    from valence_client.cli.reading.row import Row, Source
    from valence_client.results import Outcome
    from valence_client.sync import Client

BAD_ROW = "BAD_ROW"
# In a stream, these are errors of the server, not of the row: a later run may answer it.
_NOT_THE_ROWS = (DeadlineExceeded, Overloaded, PermissionDenied, Unauthenticated, Unavailable)


def stream(
    client: Client, source: Source, *, overlength: Overlength, max_text_bytes: int
) -> Iterator[tuple[Row, Outcome]]:
    """Yield each row with its outcome, in order. An error names its row.

    At most a stream's window of rows is in memory.

    Raise ValenceError if the server stops answering, and what the rows raise.
    """
    sent: deque[Row] = deque()

    def texts() -> Iterator[str]:
        for read in source.rows:
            row = _checked(read, max_text_bytes)
            sent.append(row)
            # An empty text takes the place of a bad row: the server refuses it at no cost.
            yield "" if row.problem else row.text

    with closing(client.classify_stream(texts(), overlength=overlength)) as outcomes:
        for outcome in outcomes:
            row = sent.popleft()
            if row.problem:
                bad = InvalidText(row.problem, reason=BAD_ROW, description=row.problem)
                yield row, _placed(bad, source, row)
                continue
            if isinstance(outcome, _NOT_THE_ROWS):
                raise outcome
            yield row, _placed(outcome, source, row)


def batches(
    client: Client, source: Source, *, overlength: Overlength
) -> Iterator[tuple[Row, Outcome]]:
    """Yield the same for a few texts, each batch within the client's timeout."""
    rows = list(source.rows)
    most = client.model().limits.max_batch_texts if len(rows) > 1 else 1
    for begin in range(0, len(rows), most):
        some = rows[begin : begin + most]
        outcomes = client.classify_batch([row.text for row in some], overlength=overlength)
        for row, outcome in zip(some, outcomes, strict=True):
            yield row, _placed(outcome, source, row)


def _checked(row: Row, max_text_bytes: int) -> Row:
    """Mark a row whose text exceeds the server's limit: it could end the whole stream."""
    if row.problem or len(row.text) <= max_text_bytes // 4:  # no character takes more than 4
        return row
    size = len(row.text.encode(errors="backslashreplace"))
    if size <= max_text_bytes:
        return row
    problem = f"has a text of {size} bytes, more than the {max_text_bytes} that the server takes"
    return dataclasses.replace(row, problem=problem)


def _placed(outcome: Outcome, source: Source, row: Row) -> Outcome:
    """Return the outcome. An error names its row."""
    if isinstance(outcome, ValenceError):
        described = isinstance(outcome, InvalidText) and outcome.description
        outcome.args = (f"{source.unit} {row.number}: {described or outcome}",)
    return outcome
