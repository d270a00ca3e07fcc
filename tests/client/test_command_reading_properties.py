"""Whatever bytes come, each format makes rows of them or says that it cannot."""

from __future__ import annotations

import codecs
import csv
import io
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from valence_client.cli.reading.jsonl import Objects
from valence_client.cli.reading.lines import read_plain
from valence_client.cli.reading.row import FileError, Row
from valence_client.cli.reading.table import Table

pieces = st.sampled_from(
    [b'"', b",", b"\n", b"\r\n", b"\r", b"\xff", b"a", b"\xc3\xa9", b"{", b"}", b'{"text": "a"}']
)
contents = st.lists(pieces, max_size=40).map(b"".join) | st.binary(max_size=60)


def check(rows: list[Row], size_bytes: int) -> None:
    """Rows are told apart, their positions lie in the file, and their columns can be written."""
    assert all(one.number < two.number for one, two in pairwise(rows))
    assert all(one.position <= two.position <= size_bytes for one, two in pairwise(rows))
    for row in rows:
        str(row.columns).encode()


@given(contents)
def test_lines(content: bytes) -> None:
    try:
        rows = list(read_plain(io.BytesIO(content), name="in"))
    except FileError:
        assert content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return
    check(rows, len(content))
    assert len(rows) == content.count(b"\n") + (not content.endswith(b"\n") and content != b"")


@given(contents)
def test_tables(content: bytes) -> None:
    try:
        table = Table(io.BytesIO(b"n,text\n" + content), name="in", delimiter=",", column=None)
        rows = list(table.rows())
    except FileError:
        raise AssertionError("the header is as it should be") from None
    check(rows, len(content) + len(b"n,text\n"))
    assert all(list(row.columns) == ["n", "text"] for row in rows)


@given(contents)
def test_objects(content: bytes) -> None:
    try:
        rows = list(Objects(io.BytesIO(content), name="in", field=None).rows)
    except FileError:
        return
    check(rows, len(content))


@given(st.lists(st.tuples(st.text(), st.text()), max_size=8))
def test_a_table_is_read_as_it_was_written(records: list[tuple[str, str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("n", "text"), *records])
    content = out.getvalue().encode()
    table = Table(io.BytesIO(content), name="in", delimiter=",", column=None)
    assert [(row.columns["n"], row.text, row.problem) for row in table.rows()] == [
        (number, text, "") for number, text in records
    ]
