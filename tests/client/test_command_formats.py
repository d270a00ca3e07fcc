"""``valence classify`` from every format and into every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.client import in_process
from tests.client.command import run
from tests.client.conftest import Serving

TEXTS = ['good, "really"', "bad\nthen good", "bad\rly", "☀ good", "  bad  "]
ROWS = [{"id": n, "text": text, "": "x;y"} for n, text in enumerate(TEXTS, start=1)]
ADDED = ["label", "score", "polarity", "valence", "truncated", "error"]


def table(delimiter: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue().encode("utf-8-sig")


def write(folder: Path, name: str) -> Path:
    """ROWS in the format of that name's end."""
    path = folder / name
    match path.suffix:
        case ".csv":
            path.write_bytes(table(","))
        case ".tsv":
            path.write_bytes(table("\t"))
        case ".jsonl":
            path.write_text("\n\n".join(json.dumps(row) for row in ROWS))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=2)
    return path


async def classify(server: Serving, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    done = await in_process.classify(server, *arguments)
    return done.code, done.out, done.err


@pytest.mark.parametrize("into", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("source", ["csv", "tsv", "jsonl", "parquet"])
async def test_every_format_into_every_other(
    server: Serving, tmp_path: Path, source: str, into: str
) -> None:
    file = write(tmp_path, f"rows.{source}")
    output = tmp_path / f"out.{into}"
    assert await classify(server, "-f", file, "-o", output) == (0, "", "")
    content = output.read_bytes().decode("utf-8-sig")
    if into == "jsonl":
        records = [json.loads(line) for line in content.split("\n")[:-1]]
        assert list(records[0]) == [
            *("id", "text", "", "label", "score", "scores", "polarity", "valence"),
            *("tokens_total", "tokens_used", "tokens_unknown", "layers_used", "truncated"),
            *("model", "timings"),
        ]
    else:
        delimiter = "\t" if into == "tsv" else ","
        reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter)
        records = list(reader)
        assert list(records[0]) == ["id", "text", "", *ADDED]
    assert [record["text"] for record in records] == TEXTS
    assert [str(record["id"]) for record in records] == ["1", "2", "3", "4", "5"]
    assert {record[""] for record in records} == {"x;y"}
    labels = ["POSITIVE" if "good" in text else "NEGATIVE" for text in TEXTS]
    assert [record["label"] for record in records] == labels
    assert {float(record["score"]) for record in records} == {0.75}


async def test_objects_stay_as_they_were_written(server: Serving, tmp_path: Path) -> None:
    kept = '{"price": 1.10, "big": 123456789012345678901234567890, "a":{"b":[1,2]}, "text":"good"'
    (tmp_path / "a.jsonl").write_text(kept + "}\n")
    code, out, _ = await classify(server, "--json", "-f", tmp_path / "a.jsonl")
    assert code == 0
    assert out.startswith(kept + ', "label": "POSITIVE"')


async def test_a_table_on_stdout(server: Serving, tmp_path: Path) -> None:
    _, out, _ = await classify(server, "-f", write(tmp_path, "rows.csv"))
    assert out.splitlines()[:2] == [
        'POSITIVE  0.75  good, "really"',
        "POSITIVE  0.75  bad then good",
    ]


async def test_stdin_of_a_format(server: Serving) -> None:
    arguments = ("classify", "--address", server.address, "--file", "-")
    code, out, _ = await run(*arguments, "--format", "csv", stdin=b"text,n\ngood,1\n")
    assert (code, out) == (0, "POSITIVE  0.75  good\n")
    code, _, err = await run(*arguments, "--format", "parquet")
    assert code == 1
    assert "not from stdin" in err


async def test_which_texts(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("title,body\nbad,good\n")
    _, out, _ = await classify(server, "-f", tmp_path / "a.csv", "--column", "body")
    assert out == "POSITIVE  0.75  good\n"
    (tmp_path / "only.csv").write_text("body\ngood\n")
    _, out, _ = await classify(server, "-f", tmp_path / "only.csv")
    assert out == "POSITIVE  0.75  good\n"
    (tmp_path / "a.jsonl").write_text('{"a.b": "bad", "a": {"c": "good"}}\n')
    for field, text in (("a.b", "bad"), ("a.c", "good")):
        _, out, _ = await classify(server, "-f", tmp_path / "a.jsonl", "--field", field)
        assert out.split() == ["POSITIVE" if text == "good" else "NEGATIVE", "0.75", text]


async def test_delimiter(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;n\ngood, really;1\n")
    _, _, err = await classify(server, "-f", tmp_path / "a.csv")
    assert "has one column, 'text;n': if ';' stands between columns" in err
    _, out, _ = await classify(server, "-f", tmp_path / "a.csv", "--delimiter", ";")
    assert out == "POSITIVE  0.75  good, really\n"


async def test_names_that_are_taken(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\ngood,1\n")
    (tmp_path / "a.jsonl").write_text('{"text": "good", "label": 1}\n')
    for name, output_format in (("a.csv", "csv"), ("a.jsonl", "jsonl")):
        arguments = ("-f", tmp_path / name, "--output-format", output_format)
        code, out, err = await classify(server, *arguments)
        assert (code, out) == (1, "")
        assert "'label' of its own" in err
        assert "--prefix sentiment_" in err
        code, out, _ = await classify(server, *arguments, "--prefix", "model_")
        assert code == 0
        assert "model_label" in out
        assert "POSITIVE" in out


async def test_fields_that_a_table_has_no_column_for(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n{"text": "bad", "n": 1}\n')
    code, out, err = await classify(server, "-f", tmp_path / "a.jsonl", "--output-format", "csv")
    assert code == 1
    assert len(out.splitlines()) == 3
    assert "line 2: the first row has no n: left out of the table" in err
