"""What ``valence classify`` says of rows and files that are not as they should be."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.client import in_process
from tests.client.command import run
from tests.client.conftest import Serving

LIMIT = 65536
WRONG: list[tuple[str, str, tuple[str, ...], str]] = [
    ("a.csv", "id,body\n1,good\n", (), "say which holds the texts with --column; it has id, b"),
    ("a.csv", "id,text\n", ("--column", "txt"), "has no column 'txt'; it has id, text"),
    ("a.csv", "text,id,text\n", (), "2 columns are called 'text'"),
    ("a.csv", "", (), "is empty: its first line should name the columns"),
    ("a.jsonl", '{"a": 1, "b": 2}', (), "say which holds the texts with --field; it has a, b"),
    ("a.jsonl", '{"a": {"b": ""}}', ("--field", "a.c"), "has no field 'a.c'; it has a"),
    (
        "a.jsonl",
        "no",
        ("--output-format", "csv"),
        "its first row gives the columns, but is not a JSON object",
    ),
    ("a.parquet", "no", (), "cannot be read as Parquet"),
    ("a.dat", "good", (), "add --format lines, csv, tsv, json, jsonl or parquet"),
    ("a.csv", "\ufefftext\ngood", ("-o", "out.dat"), "add --output-format"),
    ("a.csv", "text\ngood", ("-o", "missing/out.csv"), "missing/out.csv cannot be written: No"),
    ("a.csv", "text\ngood", ("-o", "a.csv", "--overwrite"), "a.csv is the input"),
    ("a.csv", "text\ngood", ("--resume",), "--resume continues an uncompressed --output"),
    ("a.csv", "text\ngood", ("-o", "/dev/full", "--json"), "No space left on device"),
]


async def classify(server: Serving, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    done = await in_process.classify(server, *arguments)
    return done.code, done.out, done.err


async def test_bad_rows_of_a_table(server: Serving, tmp_path: Path) -> None:
    rows = [
        (b'1,"good\nfilm"', ""),
        (b"2,", "line 4: is empty"),
        (b"3,bad \xff one", "line 5: is not UTF-8: byte 7 of the line"),
        (b"4", "line 6: has 1 cells, the header 2"),
        (b"5,bad,too,many", "line 7: has 4 cells, the header 2"),
        (b"6,car\rriage", "line 8: has a carriage return outside of quotes"),
        (b"7," + b"x" * LIMIT + b"y", f"line 9: has a text of {LIMIT + 1} bytes, more than"),
        (b"8,bad", ""),
        (b'9,"never closed', "line 11: has a quote that is left open to the file's end"),
    ]
    file = tmp_path / "a.csv"
    file.write_bytes(b"id,text\n" + b"\n".join(row for row, _ in rows) + b"\n")
    code, _, err = await classify(server, "-f", file, "-o", tmp_path / "out.csv")
    assert code == 1
    with (tmp_path / "out.csv").open(newline="") as output:
        records = list(csv.DictReader(output))
    assert len(records) == len(rows)
    for record, (_, error) in zip(records, rows, strict=True):
        assert record["error"].startswith(error)
        assert bool(record["label"]) == (not error)
    assert records[2]["text"] == "bad \N{REPLACEMENT CHARACTER} one"
    expected = [error for _, error in rows if error]
    for line, error in zip(err.splitlines(), expected, strict=True):
        assert line.startswith(f"valence: {file}: {error}")


async def test_bad_rows_of_objects(server: Serving, tmp_path: Path) -> None:
    rows = [
        ('{"text": "good"}', ""),
        ('{"text": ""}', "line 2: is empty"),
        ('{"text": "good"', "line 3: is not JSON: "),
        ("[1]", "line 4: is not a JSON object"),
        ('{"txt": "good"}', "line 5: has no field 'text'"),
        ('{"text": null}', "line 6: has no text in 'text': null"),
        ('{"text": NaN}', "line 7: has no text in 'text': NaN"),
        ('{"text": "\\ud800"}', "line 8: is not valid Unicode"),
        ("[" * 100_000, "line 9: is not JSON: "),
        ("{}", "line 10: has no field 'text'"),
        ('{"text": "good"}', ""),
    ]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(row for row, _ in rows))
    code, _, err = await classify(server, "-f", file, "-o", tmp_path / "out.jsonl")
    assert (code, len(err.splitlines())) == (1, 9)
    lines = (tmp_path / "out.jsonl").read_bytes().split(b"\n")[:-1]
    for line, (row, error) in zip(lines, rows, strict=True):
        record = json.loads(line)
        assert record.get("error", {"message": ""})["message"].startswith(error)
        if "unparsed" in record:
            assert record["unparsed"] == row
    again = await classify(server, "-f", file, "-o", tmp_path / "out.jsonl", "--resume")
    assert (again[0], again[2].splitlines()) == (
        1,
        [f"valence: {tmp_path}/out.jsonl has 11 records already, 9 of them errors"],
    )


async def test_bad_rows_of_parquet(server: Serving, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["good", None]}), tmp_path / "a.parquet")
    code, _, err = await classify(server, "-f", tmp_path / "a.parquet")
    assert code == 1
    assert "row 2: has no text in 'text' but nothing" in err


async def test_a_blank_line_keeps_its_place(server: Serving) -> None:
    lines = b"good\n\n \nbad\n"
    code, out, err = await run("classify", "--address", server.address, stdin=lines)
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()] == [
        *("POSITIVE", "ERROR", "NEGATIVE", "NEGATIVE"),
    ]
    assert err == "valence: stdin: line 2: is empty\n"


async def test_many_bad_rows_are_counted(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + "no\n" * 500)
    code, out, err = await classify(server, "-f", tmp_path / "a.jsonl")
    assert (code, len(out.splitlines())) == (1, 501)
    assert len(err.splitlines()) == 21
    assert err.endswith("valence: and 480 more like these\n")


async def test_a_line_longer_than_any_text(server: Serving, tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        for _ in range(33):
            file.write(b"x" * (1 << 20))
        file.write(b"\ngood\n")
    code, out, err = await classify(server, "-f", tmp_path / "a.txt")
    assert code == 1
    assert "line 1: is longer than 33554432 bytes" in err
    assert len(out) < 3000
    assert out.endswith("POSITIVE  0.75  good\n")


@pytest.mark.parametrize("wrong", WRONG, ids=[said for *_, said in WRONG])
async def test_a_file_that_will_not_do(
    server: Serving,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: tuple[str, str, tuple[str, ...], str],
) -> None:
    name, content, options, said = wrong
    (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    code, out, err = await classify(server, "-f", name, *options)
    assert (code, out) == (1, "")
    assert said in err
    assert err.startswith("valence: ")
    assert (tmp_path / name).read_text() == content


async def test_no_file_is_made_where_no_server_is(refusing: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("good\n")
    output = tmp_path / "out.csv"
    code, _, err = await run(
        "classify", "--address", refusing, "-f", tmp_path / "a.txt", "-o", output
    )
    assert code == 1
    assert "no server answers" in err
    assert not output.exists()
