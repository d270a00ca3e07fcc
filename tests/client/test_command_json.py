"""JSON as programs really write it: lines with NaN, arrays, names that come twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from valence_client.cli.reading import array

from tests.client.conftest import Serving
from tests.client.in_process import classify, records

ITEMS = [
    {"text": "good ☀", "n": 1.10},
    {"text": "bad\n[{", "n": [1, {"a": "]"}]},
    {"text": 'good "]", ', "n": None},
]


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
async def test_a_number_that_json_lacks(server: Serving, tmp_path: Path, constant: str) -> None:
    file, output = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    file.write_text(f'{{"text": "good", "n": {constant}}}\n')
    done = await classify(server, "-f", file, "-o", output)
    assert (done.code, done.err) == (0, "")
    assert output.read_text().startswith(f'{{"text": "good", "n": {constant}, "label": "POSITIVE"')
    done, found = await records(server, file)
    assert (done.code, found[0]["n"]) == (0, constant)
    done = await classify(server, "-f", file, "-o", output, "--resume")
    assert (done.code, done.err) == (0, f"valence: {output} has 1 records already\n")


async def test_a_score_that_is_no_number_is_an_error(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("good\nnot a number\n")
    error = "line 2: the server's answer has a score that is not a finite number"
    done, found = await records(server, file)
    assert (done.code, done.err) == (1, f"valence: {file}: {error}\n")
    assert (found[1]["score"], found[1]["label"], found[1]["error"]) == ("", "", error)
    _, found = await records(server, file, into="jsonl")
    assert found[1]["error"]["code"] == "INTERNAL"
    done = await classify(server, "not a number", "--json")
    assert done.code == 1
    assert "not a finite number" in done.out


async def test_numbers_keep_their_digits(server: Serving, tmp_path: Path) -> None:
    numbers = [
        "1.10",
        "1e400",
        "-0.0",
        "12345678901234567890123",
        "0.1000000000000000055",
        "7" * 5000,
    ]
    for name, begin, end in (("a.jsonl", "", ""), ("a.json", "[", "]")):
        fields = ", ".join(f'"n{n}": {number}' for n, number in enumerate(numbers))
        (tmp_path / name).write_text(f'{begin}{{"text": "good", {fields}}}{end}')
        done, found = await records(server, tmp_path / name)
        assert (done.code, done.err) == (0, "")
        assert [found[0][f"n{n}"] for n in range(len(numbers))] == numbers


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 16])
async def test_an_array(
    server: Serving,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    indent: int | None,
    chunk_bytes: int,
) -> None:
    monkeypatch.setattr(array, "_CHUNK_BYTES", chunk_bytes)
    file = tmp_path / "a.json"
    file.write_text("\ufeff \n" + json.dumps(ITEMS, ensure_ascii=False, indent=indent) + "\n")
    done, found = await records(server, file, into="jsonl")
    assert (done.code, done.err) == (0, "")
    assert [{name: record[name] for name in ("text", "n")} for record in found] == ITEMS
    assert [record["label"] for record in found] == ["POSITIVE", "NEGATIVE", "POSITIVE"]


async def test_items_stay_as_they_were_written(server: Serving, tmp_path: Path) -> None:
    file, output = tmp_path / "a.json", tmp_path / "out.jsonl"
    file.write_text(
        '[\n {"text":  "good",\n  "n": 1.10, "big": 12345678901234567890123, "x": NaN}\n]'
    )
    await classify(server, "-f", file, "-o", output)
    assert output.read_text().startswith(
        '{"text":  "good", "n": 1.10, "big": 12345678901234567890123, "x": NaN, "label"'
    )
    done = await classify(server, "-f", file, "-o", output, "--resume")
    assert done.err == f"valence: {output} has 1 records already\n"


async def test_an_item_without_a_text(
    server: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array, "_CHUNK_BYTES", 1)
    file = tmp_path / "a.json"
    file.write_text('[{"text": "good"}, "good", {"text": 7}, {"text": ""}, 1234]')
    done, found = await records(server, file, into="jsonl")
    assert done.err.splitlines() == [
        f"valence: {file}: item 2: is not a JSON object",
        f"valence: {file}: item 3: has no text in 'text': 7",
        f"valence: {file}: item 4: is empty",
        f"valence: {file}: item 5: is not a JSON object",
    ]
    assert len(found) == 5
    assert found[4]["unparsed"] == "1234"


async def test_lines_in_a_json_file(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"text": "good"}\n\n{"text": "bad"}\n')
    _, found = await records(server, file, into="jsonl")
    assert [record["label"] for record in found] == ["POSITIVE", "NEGATIVE"]


@pytest.mark.parametrize(
    ("content", "answered", "said"),
    [
        ('[{"text": "good"}', 1, "is not a JSON array: ',' is missing after item 1"),
        ('[{"text": "good"}, {"text": "go', 1, "item 2 is not JSON: Unterminated string"),
        ('[{"text": "good"} {"text": "bad"}]', 1, "',' is missing after item 1"),
        ('[{"text": "good"}] {}', 1, "has more than its array"),
        ('[{"text": "good"}, nope]', 1, "item 2 is not JSON: Expecting value"),
        ("[" * 100_000, 0, "item 1 is not JSON: "),
        ("[]", 0, ""),
        ("[ ]\n", 0, ""),
    ],
)
async def test_a_broken_array(
    server: Serving, tmp_path: Path, content: str, answered: int, said: str
) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    done, found = await records(server, file, into="jsonl")
    assert (done.code, len(found)) == (bool(said), answered)
    assert said in done.err


async def test_a_long_item(
    server: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array, "MAX_LINE_BYTES", 200)
    monkeypatch.setattr(array, "_CHUNK_BYTES", 10)
    file = tmp_path / "a.json"
    file.write_text(json.dumps([{"text": "good"}, {"text": "good " * 30}, {"text": "good " * 300}]))
    done, found = await records(server, file, into="jsonl")
    assert len(found) == 2
    assert "item 3 is longer than 200 characters, or not JSON: Unterminated" in done.err


async def test_an_array_that_is_not_utf_8(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes('[{"text": "good café"}]'.encode("latin-1"))
    done, _ = await records(server, file, into="jsonl")
    assert (done.code, "--encoding names another" in done.err) == (1, True)
    _, found = await records(server, file, "--encoding", "latin-1", into="jsonl")
    assert found[0]["text"] == "good café"


async def test_names_that_come_twice(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "good", "n": 1, "n": 2}\n{"text": "good", "text": "bad"}\n')
    done, found = await records(server, file, into="jsonl")
    assert done.err == f"valence: {file}: line 2: has the field 'text' twice\n"
    assert found[0]["label"] == "POSITIVE"
    (tmp_path / "b.jsonl").write_text('{"a": {"b": "good", "b": "bad"}}\n')
    done = await classify(server, "-f", tmp_path / "b.jsonl", "--field", "a.b")
    assert (done.code, "has the field 'a.b' twice" in done.err) == (1, True)


async def test_a_mark_before_objects(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    for encoding in ("utf-8-sig", "utf-16"):
        file.write_bytes('{"text": "good ☀"}\r\n'.encode(encoding))
        _, found = await records(server, file, into="jsonl")
        assert (found[0]["text"], found[0]["label"]) == ("good ☀", "POSITIVE")
