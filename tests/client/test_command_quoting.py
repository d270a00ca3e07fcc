"""Quotes in CSV and TSV: no row swallows others, and no text loses characters, without a word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from valence_client.cli.reading import records as csv_records
from valence_client.cli.reading.lines import Line
from valence_client.cli.reading.quoting import HEAD_BYTES, literal_line
from valence_client.cli.reading.records import Dialect
from valence_client.cli.reading.source import open_source
from valence_client.cli.reading.table import TableOptions

from tests.client.command import run, start
from tests.client.conftest import Serving
from tests.client.in_process import classify, records

STRAY = [
    'a good "film"',
    '"Unfinished',
    "bad",
    'she said "good" twice',
    '"',
    "fin",
    '5" good',
]


def tsv(texts: list[str]) -> str:
    return "id\ttext\n" + "".join(f"{n}\t{text}\n" for n, text in enumerate(texts, start=1))


async def test_stray_quotes_of_a_tsv_are_characters(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text(tsv(STRAY))
    done, found = await records(server, file, into="jsonl")
    assert [record["text"] for record in found] == STRAY
    assert [record["label"] for record in found] == [
        "POSITIVE" if "good" in text else "NEGATIVE" for text in STRAY
    ]
    assert (done.code, done.err) == (
        0,
        f"valence: {file}: a quote in line 3 does not enclose a cell, so quotes are read as "
        "characters: --quoting csv reads quoted cells\n",
    )
    done, found = await records(server, file, "--quoting", "none", into="jsonl")
    assert (done.err, [record["text"] for record in found]) == ("", STRAY)


async def test_quoted_cells_of_a_tsv(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text(
        'id\ttext\n1\t"good\nand ""long"""\n2\t"a\ttab"\n3\tplain\n'
        "4\tshort\tby\tfar\n5\tcar\rriage\n"
    )
    done, found = await records(server, file, into="jsonl")
    texts = ['good\nand "long"', "a\ttab", "plain", "short", "car\rriage"]
    assert [record["text"] for record in found] == texts
    assert done.err.splitlines() == [
        f"valence: {file}: line 6: has 4 cells, the header 2",
        f"valence: {file}: line 7: has a carriage return outside of quotes",
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('id\ttext\n1\tgood\n2\t"swallows\n3\twhole\n4\trows"\n', 3),
        ('id\ttext\n1\t"too few\n2 cells"\tand\tmany\n', 2),
        ('id\ttext\n1\tgood\n2\t"never closed\n3\tgood\n', 3),
    ],
    ids=["whole rows", "other cells", "open"],
)
async def test_a_tsv_whose_quotes_hold_no_cells(
    server: Serving, tmp_path: Path, content: str, line: int
) -> None:
    file = tmp_path / "a.tsv"
    file.write_text(content)
    done, found = await records(server, file)
    assert f"a quote in line {line} does not enclose a cell" in done.err
    assert len(found) == content.count("\n") - 1


def test_quotes_of_a_tsv_far_down_decide_too(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text(tsv(['"good"'] * 20_000 + STRAY[1:2]))
    with open_source(str(file), "tsv", field=None, table=TableOptions()) as source:
        assert "a quote in line 20002 does not enclose a cell" in source.notes[0]
        assert next(source.rows).text == '"good"'


def test_a_quote_that_is_open_where_the_head_ends_may_still_close() -> None:
    lines = [Line(1, 8, "id\ttext\n"), Line(2, 16, '1\t"good\n')]
    for whole, literal in ((False, None), (True, 2)):
        assert literal_line(iter(lines), Dialect("\t"), name="in", whole=whole) == literal


async def test_a_tsv_from_a_pipe_is_judged_by_its_head(server: Serving) -> None:
    arguments = ("classify", "--address", server.address, "-f", "-", "--format", "tsv", "--json")
    _, out, err = await run(*arguments, stdin=tsv(STRAY).encode())
    assert len(out.splitlines()) == len(STRAY)
    assert err.startswith("valence: stdin: a quote in line 3 does not enclose a cell")
    long = tsv([f'"{"good " * 200}"'] * (HEAD_BYTES // 1000 + 3) + STRAY[1:3])
    code, out, err = await run(*arguments, stdin=long.encode())
    assert len(out.splitlines()) == long.count("\n") - 1
    first, second = err.splitlines()
    assert first == (
        f"valence: stdin: cells may be quoted, judged by its first {HEAD_BYTES} bytes: "
        "--quoting none reads quotes as characters"
    )
    assert "has a quote that is left open to the file's end" in second
    assert code == 1


async def test_a_tsv_from_a_pipe_with_known_quoting_waits_for_no_head(server: Serving) -> None:
    arguments = ("classify", "--address", server.address, "-f", "-", "--format", "tsv")
    process = await start(*arguments, "--quoting", "none")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'text\n"good\n')
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b'POSITIVE  0.75  "good\n'
    await process.communicate(b"")


async def test_a_stray_quote_of_a_csv_costs_its_row_alone(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        'id,text\n1,good\n2,"Unfinished\n3,good\n4,"really, ""good"""\n5,bad\n6,"open\n7,good\n'
    )
    done, found = await records(server, file)
    assert [record["id"] for record in found] == ["1", "2", "3", "4", "5", "6", "7"]
    assert [record["label"] for record in found] == [
        *("POSITIVE", "", "POSITIVE", "POSITIVE", "NEGATIVE", "", "POSITIVE"),
    ]
    assert found[3]["text"] == 'really, "good"'
    assert done.err.splitlines() == [
        f"valence: {file}: line 3: has a quote that closes in line 5 before its cell ends: "
        "--quoting none reads quotes as characters",
        f"valence: {file}: line 7: has a quote that is left open to the file's end: "
        "--quoting none reads quotes as characters",
    ]
    done, found = await records(server, file, "--quoting", "none")
    assert found[1]["text"] == '"Unfinished'
    assert found[1]["label"] == "NEGATIVE"


async def test_lines_of_a_csv_that_look_like_rows(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    lines = ["id,text", '1,"Unfinished', "2,good", '3,the end"', '4,"a', 'b"', '5,"x', '6,y"']
    lines[1:1] = ['0,"This is', 'one, and good"']  # a sentence, which is not worth a word
    file.write_text("\n".join([*lines, '7,"held', 'by",quotes', ""]))
    done, found = await records(server, file)
    assert done.err.splitlines() == [
        f"valence: {file}: line 4 and those to 6 are one row, held together by quotes, though each "
        "looks like a row: --quoting none reads quotes as characters",
        f"valence: {file}: line 11: has 3 cells, the header 2 (in quotes to line 12: "
        "--quoting none reads quotes as characters)",
    ]
    assert [record["id"] for record in found] == ["0", "1", "4", "5", "7"]
    done, found = await records(server, file, "--quoting", "none")
    assert [record["id"] for record in found[2:5]] == ["1", "2", "3"]


async def test_a_quote_that_is_open_for_long(
    server: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_records, "MAX_LINE_BYTES", 1000)
    file = tmp_path / "a.csv"
    file.write_text('text,n\n"open,1\n' + "good film,2\n" * 100)
    done, found = await records(server, file, into="jsonl")
    assert done.err.startswith(f"valence: {file}: line 2: has a quote that is left open for 1000 ")
    assert [record.get("label") for record in found] == [None, *["POSITIVE"] * 100]


async def test_escapes_before_quotes(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('id,text\n1,"He said \\"great\\" soup, good"\n2,"a good \\\\ slash"\n')
    done, found = await records(server, file)
    assert done.err == (
        f"valence: {file}: line 2: has quotes after a backslash: "
        "--escape-character '\\' reads them\n"
    )
    assert [record["label"] for record in found] == ["", "POSITIVE"]
    done, found = await records(server, file, "--escape-character", "\\")
    assert (done.code, done.err) == (0, "")
    assert [record["text"] for record in found] == [
        'He said "great" soup, good',
        "a good \\ slash",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--escape-character", '"'), "--escape-character must be one character"),
        (("--escape-character", "ab"), "--escape-character must be one character"),
        (("--delimiter", '"'), "--delimiter must be one character"),
        (("--encoding", "utf-88"), "--encoding: unknown encoding: utf-88"),
        (("--encoding", "base64"), "--encoding: 'base64' is not a text encoding"),
    ],
)
async def test_characters_that_cannot_be(
    server: Serving, tmp_path: Path, options: tuple[str, str], said: str
) -> None:
    (tmp_path / "a.csv").write_text("text\ngood\n")
    done = await classify(server, "-f", tmp_path / "a.csv", *options)
    assert done.code == 2
    assert said in done.err


async def test_an_escape_that_is_the_delimiter(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\ngood\n")
    done = await classify(server, "-f", tmp_path / "a.csv", "--escape-character", ",")
    assert (done.code, done.out) == (1, "")
    assert "--escape-character and the delimiter are both ','" in done.err
