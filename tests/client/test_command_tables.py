"""Tables as programs really write them: their headers, ends of rows, marks and encodings."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from tests.client.conftest import Serving
from tests.client.in_process import classify, records

ADDED = "label,score,polarity,valence,truncated,error"
ANSWER = "POSITIVE,0.75,positive,0.5,false,"


@pytest.mark.parametrize(
    ("content", "output"),
    [
        ("id,text,,,\n1,good,,x,\n", f"id,text,,,,{ADDED}\n1,good,,x,,{ANSWER}\n"),
        ("n,n,text\n1,2,good\n", f"n,n,text,{ADDED}\n1,2,good,{ANSWER}\n"),
        ("text,n\ngood,1,\n", f"text,n,{ADDED}\ngood,1,{ANSWER}\n"),
        ("text,n\ngood,1,,,\n", f"text,n,{ADDED}\ngood,1,{ANSWER}\n"),
        ("text,n,,\ngood,1\n", f"text,n,,,{ADDED}\ngood,1,,,{ANSWER}\n"),
        ("sep=;\ntext;n\ngood, really;1\n", f'text,n,{ADDED}\n"good, really",1,{ANSWER}\n'),
        ('"sep=\t"\r\ntext\tn\r\ngood\t1\r\n', f"text,n,{ADDED}\ngood,1,{ANSWER}\n"),
        ("text,n\rgood,1\r", f"text,n,{ADDED}\ngood,1,{ANSWER}\n"),
        ("n, Text \n1,good\n", f"n, Text ,{ADDED}\n1,good,{ANSWER}\n"),
        ("text,n\n", f"text,n,{ADDED}\n"),
        ("text,n\n\n\ngood,1\n\n", f"text,n,{ADDED}\ngood,1,{ANSWER}\n"),
        (
            "text,n\ngo\0od,=1+1\n",
            f"text,n,{ADDED}\ngo\0od,=1+1,NEGATIVE,0.75,negative,-0.5,false,\n",
        ),
    ],
    ids=[
        *("nameless columns", "equal columns", "trailing delimiter", "trailing delimiters"),
        *("short by nameless columns", "sep=", "quoted sep=", "CR alone", "name in other case"),
        *("header alone", "blank lines", "NUL and formula"),
    ],
)
async def test_a_table_is_carried_along(
    server: Serving, tmp_path: Path, content: str, output: str
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content.encode())
    done = await classify(server, "-f", file, "-o", tmp_path / "out.csv")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "out.csv").read_bytes().decode() == output
    # It is also recognised as this input's.
    done = await classify(server, "-f", file, "-o", tmp_path / "out.csv", "--resume")
    assert (done.code, (tmp_path / "out.csv").read_bytes().decode()) == (0, output)


async def test_a_row_short_by_its_last_cell(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,text,n,m\n1,good,2\n2,good,3\n3,good\n4\n")
    done, found = await records(server, file)
    assert done.err.splitlines() == [
        f"valence: {file}: line 2 lacks its last cell: it is read as empty, here and in later rows",
        f"valence: {file}: line 4: has 2 cells, the header 4",
        f"valence: {file}: line 5: has 1 cells, the header 4",
    ]
    assert [record["n"] for record in found] == ["2", "3", "", ""]


async def test_a_row_short_by_its_text(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,text\n1\n")
    done, _ = await records(server, file)
    assert (done.code, done.err) == (1, f"valence: {file}: line 2: has 1 cells, the header 2\n")


async def test_equal_columns_have_numbers_in_objects(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("n,n_2,n,text,\n1,2,3,good,x\n")
    _, found = await records(server, file, into="jsonl")
    columns = {"n": "1", "n_2": "2", "n_3": "3", "text": "good", "": "x"}
    assert list(found[0].items())[:5] == list(columns.items())


@pytest.mark.parametrize(
    ("header", "options", "said"),
    [
        ("text,n,text", (), "2 columns are called 'text'"),
        ("Text,n,TEXT", (), "2 columns are called 'TEXT' or 'Text'"),
        (" body,n,body ", ("--column", "body"), "2 columns are called ' body' or 'body '"),
        ("n,label,label", ("--column", "n"), "has a column 'label' of its own"),
    ],
)
async def test_columns_in_doubt(
    server: Serving, tmp_path: Path, header: str, options: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(header + "\ngood,1,good\n")
    done, found = await records(server, file, *options)
    assert (done.code, found) == (1, [])
    assert said in done.err


async def test_an_equal_name_comes_before_an_alike_one(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("Text,text\nbad,good\n")
    _, found = await records(server, file)
    assert found[0]["label"] == "POSITIVE"


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
async def test_a_mark_that_came_in_goes_out(server: Serving, tmp_path: Path, mark: str) -> None:
    file, output = tmp_path / "a.csv", tmp_path / "out.csv"
    file.write_bytes("text\ngood ☀\n".encode(mark))
    for options in ((), ("--resume",)):
        done = await classify(server, "-f", file, "-o", output, *options)
        assert done.code == 0
        written = output.read_bytes()
        assert written.startswith(codecs.BOM_UTF8 + b"text,")
        assert "good ☀,POSITIVE" in written.decode()
    await classify(server, "-f", file, "-o", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes().startswith(b'{"text"')


async def test_an_encoding_that_is_given(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"text,n\ngood caf\xe9,\x80\nbad \x81,2\ngood,3\n")
    done, found = await records(server, file)
    assert done.err.splitlines()[0] == (
        f"valence: {file}: line 2: is not UTF-8: byte 9 of the line (--encoding names another)"
    )
    done, found = await records(server, file, "--encoding", "windows-1252")
    assert (found[0]["text"], found[0]["n"], found[2]["label"]) == ("good café", "€", "POSITIVE")
    assert done.err == (
        f"valence: {file}: line 3: is not windows-1252 (--encoding names another)\n"
    )


async def test_utf_16_without_a_mark(server: Serving, tmp_path: Path) -> None:
    for name, encoding in (("a.txt", "utf-16-le"), ("a.csv", "utf-16-be")):
        (tmp_path / name).write_bytes("text\ngood\n".encode(encoding))
        done = await classify(server, "-f", tmp_path / name)
        assert done.code == 1
        assert f"if it is UTF-16, say so with --encoding {encoding}" in done.err
        done = await classify(server, "-f", tmp_path / name, "--encoding", encoding)
        assert done.out.splitlines()[-1] == "POSITIVE  0.75  good"


async def test_a_broken_character_of_utf_16_costs_its_row_alone(
    server: Serving, tmp_path: Path
) -> None:
    content = "text\ngood \ud800 one\ngood\n".encode("utf-16-le", "surrogatepass")
    (tmp_path / "a.csv").write_bytes(codecs.BOM_UTF16_LE + content + b"x")
    done, found = await records(server, tmp_path / "a.csv")
    assert [record["label"] for record in found] == ["", "POSITIVE", ""]
    assert "line 2: is not UTF-16" in done.err
    assert "line 4: is not UTF-16" in done.err


async def test_lines_that_carriage_returns_end(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\rbad\rgood")
    done = await classify(server, "-f", tmp_path / "a.txt")
    assert [line.split()[0] for line in done.out.splitlines()] == [
        *("POSITIVE", "NEGATIVE", "POSITIVE"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04\x14\x00", "is a zip archive, as .xlsx is: save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an .xls file: save the sheet as CSV"),
        (b"PAR1\x15\x04", "is Parquet: add --format parquet"),
        (b"\xfd7zXZ\x00\x00", "is compressed with xz"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
async def test_a_name_that_does_not_fit_its_content(
    server: Serving, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = await classify(server, "-f", tmp_path / name)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
