"""Whatever bytes come, each format makes rows of them or says that it cannot."""

from __future__ import annotations

import csv
import io
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from valence_client.cli.reading.jsonl import Objects
from valence_client.cli.reading.lines import read_lines, read_plain
from valence_client.cli.reading.records import Dialect
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


def table(content: bytes, dialect: Dialect) -> Table:
    return Table(read_lines(io.BytesIO(content)), name="in", dialect=dialect, column="text")


@given(contents)
def test_lines(content: bytes) -> None:
    rows = list(read_plain(read_lines(io.BytesIO(content))))
    check(rows, len(content))
    end = b"\n" if b"\n" in content or b"\r" not in content[:-1] else b"\r"
    assert len(rows) == content.count(end) + (not content.endswith(end) and content != b"")


@given(contents, st.booleans())
def test_tables(content: bytes, quoted: bool) -> None:
    try:
        rows = list(table(b"n,text\n" + content, Dialect(",", quoted)).rows())
    except FileError:
        raise AssertionError("the header is as it should be") from None
    check(rows, len(content) + len(b"n,text\n"))
    assert all(list(row.columns) == ["n", "text"] for row in rows)


@given(contents)
def test_no_line_of_a_table_is_lost(content: bytes) -> None:
    """A row is one line, or several that a strict reader makes one record of."""
    content = b"n,text\n" + content
    rows = list(table(content, Dialect(",")).rows())
    lines = [line.text for line in read_lines(io.BytesIO(content))]
    ends = [row.number for row in rows[1:]] + [len(lines) + 1]
    for row, end in zip(rows, ends, strict=False):  # without rows there is an end too many
        own = lines[row.number - 1 : end - 1]
        while own and not own[-1].strip("\r\n"):
            own.pop()
        if len(own) > 1:
            assert len(list(csv.reader(own, strict=True))) == 1


@given(contents)
def test_objects(content: bytes) -> None:
    try:
        rows = list(Objects(read_lines(io.BytesIO(content)), name="in", field=None).rows)
    except FileError:
        return
    check(rows, len(content))


@given(st.lists(st.tuples(st.text(), st.text()), max_size=8))
def test_a_table_is_read_as_it_was_written(records: list[tuple[str, str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("n", "text"), *records])
    read = table(out.getvalue().encode(), Dialect(","))
    assert [(row.columns["n"], row.text, row.problem) for row in read.rows()] == [
        (number, text, "") for number, text in records
    ]
