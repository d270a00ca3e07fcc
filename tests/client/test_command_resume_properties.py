"""Of any beginning of any output the whole records are kept, and their rows are not asked again."""

from __future__ import annotations

import io
import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from valence_client import InvalidText, LabelScore, ModelRef, Outcome, Polarity, Sentiment
from valence_client.cli.reading.row import Row
from valence_client.cli.writing.delimited import Delimited
from valence_client.cli.writing.jsonl import Jsonl
from valence_client.cli.writing.resume import keep

# With much of what has a meaning in the formats, and lone surrogates, which JSON can say.
texts = st.text(st.sampled_from('ab,;\t"\n\r{}:\\\u2028\ud800é') | st.characters(), max_size=8)
values = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.lists(texts)
columns = st.lists(texts.filter(lambda name: name != "label"), min_size=1, max_size=4, unique=True)


def row(number: int, fields: dict[str, Any], *, written: bool) -> Row:
    """``written`` is as it comes from JSONL."""
    try:
        as_json = json.dumps(fields, allow_nan=False) if written else ""
    except ValueError:
        as_json = ""
    return Row(number, number, fields, json=as_json)


def sentiment(label: str, score: float) -> Sentiment:
    return Sentiment(
        label=label,
        score=score,
        scores=(LabelScore(label, score),),
        polarity=Polarity.UNSPECIFIED,
        valence=None,
        tokens_total=3,
        tokens_used=3,
        truncated=False,
        model=ModelRef("fixed", "1"),
    )


outcomes = st.builds(sentiment, texts, st.floats(0, 1)) | st.builds(
    InvalidText, texts.filter(bool), description=texts
)


@st.composite
def outputs(draw: st.DrawFn) -> tuple[Jsonl | Delimited, list[Row], list[Outcome]]:
    """A format, rows of the same columns, and what became of each."""
    names = draw(columns)
    form: Jsonl | Delimited = Jsonl(prefix="s_")
    if draw(st.booleans()):
        form = Delimited(names, name="in", delimiter=draw(st.sampled_from(",\t")), prefix="s_")
    fields = draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, values)), max_size=6))
    written = draw(st.booleans())
    rows = [row(number, some, written=written) for number, some in enumerate(fields, start=1)]
    return form, rows, [draw(outcomes) for _ in rows]


@settings(deadline=None)
@given(outputs())
def test_every_beginning_goes_on_to_the_whole(
    output: tuple[Jsonl | Delimited, list[Row], list[Outcome]],
) -> None:
    form, rows, answers = output
    records = [form.record(row, answer) for row, answer in zip(rows, answers, strict=True)]
    whole = form.header() + b"".join(records)
    ends = list(itertools.accumulate(map(len, records), initial=len(form.header())))
    for cut in range(len(whole) + 1):
        left = iter(rows)
        kept = keep(io.BytesIO(whole[:cut]), form, left, name="out")
        # No more is thrown away than the record that was cut.
        assert kept.records == sum(end <= cut for end in ends[1:])
        assert kept.end_bytes == (ends[kept.records] if cut >= ends[0] else 0)
        assert list(left) == rows[kept.records :]
        answered = answers[: kept.records]
        assert kept.errors == sum(isinstance(answer, InvalidText) for answer in answered)
