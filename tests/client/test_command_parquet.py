"""Parquet with every kind of column beside the texts, and with texts as bytes."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.client.conftest import Serving
from tests.client.in_process import classify, records

TEXTS = pa.array(["good", "bad"])
ZONE = pa.timestamp("us", "Mars/Phobos")
NANOSECOND = "1970-01-01 00:00:00.000000001"


def not_utf_8() -> pa.Array:
    """Strings that a careless writer did not check."""
    held = pa.array([b"\xff", b"x"])
    return pa.Array.from_buffers(pa.string(), 2, held.buffers())


# In CSV and in JSONL.
CARRIED: dict[str, tuple[pa.Array, str, Any]] = {
    "nanosecond": (pa.array([1, None], pa.timestamp("ns")), NANOSECOND, NANOSECOND),
    "microsecond": (
        pa.array([1000, None], pa.timestamp("ns")),
        "1970-01-01 00:00:00.000001",
        "1970-01-01 00:00:00.000001",
    ),
    "duration": (pa.array([1, 2], pa.duration("ns")), "1 ns", "1 ns"),
    "year": (
        pa.array([4 * 10**17, 0], pa.timestamp("us")),
        "14645-06-30 15:06:40.000000",
        "14645-06-30 15:06:40.000000",
    ),
    "date": (pa.array([2**30, 0], pa.date32()), *["<value out of range: 1073741824>"] * 2),
    "zone": (pa.array([1, 2], pa.timestamp("ns")).cast("int64").cast(ZONE), "1", "1"),
    "time": (pa.array([1, 2], pa.time64("ns")), "00:00:00.000000001", "00:00:00.000000001"),
    "nan": (pa.array([float("nan"), 1.0]), "NaN", "NaN"),
    "infinity": (pa.array([float("-inf"), 1.0]), "-Infinity", "-Infinity"),
    "bytes": (pa.array([b"caf\xc3\xa9", b"x"]), "café", "café"),
    "broken bytes": (pa.array([b"caf\xe9", b"x"]), "caf\\xe9", "caf\\xe9"),
    "broken string": (not_utf_8(), "\\xff", "\\xff"),
    "decimal": (pa.array([decimal.Decimal("1.10"), None]), "1.10", "1.10"),
    "big": (pa.array([2**63, 1], pa.uint64()), "9223372036854775808", 2**63),
    "dictionary": (pa.array(["a", "b"]).dictionary_encode(), "a", "a"),
    "list": (
        pa.array([[1], []], pa.list_(pa.timestamp("ns"))),
        f'["{NANOSECOND}"]',
        [NANOSECOND],
    ),
    "struct": (
        pa.array([{"a": 1, "b": None}, None], pa.struct({"a": pa.timestamp("ns"), "b": "string"})),
        f'{{"a": "{NANOSECOND}", "b": null}}',
        {"a": NANOSECOND, "b": None},
    ),
    "map": (
        pa.array([[("k", 1)], []], pa.map_("string", pa.timestamp("ns"))),
        f'[["k", "{NANOSECOND}"]]',
        [["k", NANOSECOND]],
    ),
    "nested nan": (pa.array([[float("nan")], []]), '["NaN"]', ["NaN"]),
    "date of today": (pa.array([datetime.date(2026, 1, 31), None]), "2026-01-31", "2026-01-31"),
}


@pytest.mark.parametrize("name", CARRIED)
async def test_a_column_that_is_carried_along_stops_no_row(
    server: Serving, tmp_path: Path, name: str
) -> None:
    held, in_csv, in_jsonl = CARRIED[name]
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"other": held, "text": TEXTS}), file)
    for into, value in (("csv", in_csv), ("jsonl", in_jsonl)):
        done, found = await records(server, file, into=into)
        assert (done.code, done.err) == (0, "")
        assert [record["label"] for record in found] == ["POSITIVE", "NEGATIVE"]
        assert found[0]["other"] == value


@pytest.mark.parametrize(
    "held",
    [
        pa.array([b"good", b"bad"]),
        pa.array([b"good", b"bad!"], pa.large_binary()),
        pa.array([b"good", b"sad!"], pa.binary(4)),
        pa.array(["good", "bad"], pa.large_string()),
        pa.array(["good", "bad"]).dictionary_encode(),
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(["good", "bad"])),
    ],
    ids=lambda held: str(held.type),
)
async def test_texts_of_other_types(server: Serving, tmp_path: Path, held: pa.Array) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": held}), file)
    done, found = await records(server, file, into="jsonl")
    assert (done.code, done.err) == (0, "")
    assert found[0]["text"] == "good"
    assert found[0]["label"] == "POSITIVE"


@pytest.mark.parametrize(
    "held", [pa.array([b"caf\xe9", b"good"]), not_utf_8()], ids=["bytes", "string"]
)
async def test_bytes_that_are_no_text(server: Serving, tmp_path: Path, held: pa.Array) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": held}), file)
    done, found = await records(server, file, into="jsonl")
    where = 4 if held.type == pa.binary() else 1
    assert done.err == f"valence: {file}: row 1: has no UTF-8 in 'text': byte {where}\n"
    assert (done.code, len(found), "label" in found[1]) == (1, 2, True)


@pytest.mark.parametrize("held", [pa.array([7]), pa.array([["good"]]), pa.array([{"a": "good"}])])
async def test_a_column_without_texts_is_refused_once(
    server: Serving, tmp_path: Path, held: pa.Array
) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": held}), file)
    stored = pq.read_schema(file).field("text")
    done, found = await records(server, file)
    assert (done.code, found) == (1, [])
    assert done.err == f"valence: {file}: column 'text' holds {stored.type}, not texts\n"


async def test_equal_columns(server: Serving, tmp_path: Path) -> None:
    file, output = tmp_path / "a.parquet", tmp_path / "out.csv"
    pq.write_table(pa.Table.from_arrays([TEXTS, TEXTS, TEXTS], ["n", "text", "n"]), file)
    assert (await classify(server, "-f", file, "-o", output)).code == 0
    assert output.read_text().splitlines()[1].startswith("good,good,good,POSITIVE")
    assert output.read_text().startswith("n,text,n,label")


async def test_no_row_group(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    with pq.ParquetWriter(file, pa.schema({"text": "string"})):
        pass
    done, found = await records(server, file)
    assert (done.code, done.err, found) == (0, "", [])
