"""What is left where ``valence classify`` is stopped, and how it goes on."""

from __future__ import annotations

import asyncio
import csv
import json
import signal
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from tests.client.command import run, start
from tests.client.conftest import Serving
from tests.support.server import Server, serving

# The first kill comes at the first of them, the last one at a fifth.
ROWS = 4_000
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV with line ends and quotes in its texts, each text another one."""
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        for number in range(ROWS):
            what = ["good", "bad", 'a "quote"', "line\nend", "film, really"][number % 5]
            writer.writerow([number, f"{number} was {what}, and the rest of it was as one expects"])
    return path


def records(output: Path) -> list[tuple[str, str]]:
    """Of each record its id and its text; every one must have a label."""
    if output.suffix == ".jsonl":
        found = [json.loads(line) for line in output.read_text().splitlines()]
    else:
        with output.open(newline="") as file:
            found = list(csv.DictReader(file))
    assert all(record["label"] for record in found)
    return [(record["id"], record["text"]) for record in found]


def rows(source: Path) -> list[tuple[str, str]]:
    with source.open(newline="") as file:
        return [(row["id"], row["text"]) for row in csv.DictReader(file)]


def size(output: Path) -> int:
    return output.stat().st_size if output.exists() else 0


async def grown(output: Path, size_bytes: int, process: Process) -> None:
    """Until the output is so large."""
    async with asyncio.timeout(WAIT_SECONDS):
        while size(output) < size_bytes:  # a file's growth is no event
            assert process.returncode is None, "it ended too soon"
            await asyncio.sleep(0.001)


@pytest.mark.full
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
async def test_killed_again_and_again(
    tiny: Server, reviews: Path, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"out{suffix}"
    command = ("classify", "--address", tiny.address, "-f", reviews, "-o", output, "--resume")
    sizes = []
    for size_bytes in (1, 40_000, 80_001):
        process = await start(*command)
        await grown(output, size_bytes, process)
        process.kill()
        await process.communicate()
        assert process.returncode == -signal.SIGKILL
        sizes.append(size(output))
        # As a file system may leave it: the last record half there.
        with output.open("r+b") as file:
            file.truncate(sizes[-1] - 7)
    assert sizes == sorted(sizes)
    code, _, err = await run(*command)
    assert (code, err[-16:]) == (0, "records already\n")
    assert records(output) == rows(reviews)


@pytest.mark.parametrize(
    ("signum", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="SIGINT"),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM", marks=pytest.mark.full),
    ],
)
async def test_stopped_it_says_how_to_go_on(
    tiny: Server, reviews: Path, tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    output = tmp_path / "my out.csv"
    command = ("classify", "--address", tiny.address, "-f", str(reviews), "-o", str(output))
    process = await start(*command)
    await grown(output, 10_000, process)
    process.send_signal(signum)
    _, err = await process.communicate()
    said = f"valence {' '.join(command[:-1])} '{output}' --resume"
    assert (process.returncode, err.decode()) == (code, f"valence: resume with: {said}\n")
    kept = output.read_bytes()
    assert 0 < kept.count(b"\n") < ROWS
    assert (await run(*command, "--resume"))[0] == 0
    assert output.read_bytes().startswith(kept[: kept.rindex(b"\n")])
    assert records(output) == rows(reviews)


@pytest.mark.full
async def test_a_server_that_goes_leaves_an_output_to_go_on_with(
    reviews: Path, tmp_path: Path, tiny: Server, two_labels: str
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ("classify", "-f", str(reviews), "-o", str(output), "--resume")
    with serving("--model", two_labels) as first:
        process = await start(*arguments, "--address", first.address)
        await grown(output, 10_000, process)
        first.process.kill()
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(b"valence: resume with: valence classify")
    assert (await run(*arguments, "--address", tiny.address))[0] == 0
    assert records(output) == rows(reviews)


async def test_an_output_is_not_lost_by_mistake(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\ngood\nbad\n")
    command = ("classify", "--address", server.address, "-f", "a.csv", "-o", "out.csv")
    assert (await run(*command, folder=tmp_path))[0] == 0
    whole = (tmp_path / "out.csv").read_bytes()
    code, _, err = await run(*command, folder=tmp_path)
    assert (code, err) == (
        1,
        "valence: out.csv exists: continue it with --resume, or replace it with --overwrite\n",
    )
    assert await run(*command, "--resume", folder=tmp_path) == (
        0,
        "",
        "valence: out.csv has 2 records already\n",
    )
    assert (tmp_path / "out.csv").read_bytes() == whole
    (tmp_path / "out.csv").write_text("something else that is quite long\n" * 100)
    assert await run(*command, "--overwrite", folder=tmp_path) == (0, "", "")
    assert (tmp_path / "out.csv").read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("out.csv", "a letter to somebody", "it begins differently"),
        ("out.csv", "text,stars\ngood,1\n", "its first line names other columns"),
        ("out.jsonl", "a letter to somebody", "it begins differently"),
        ("out.jsonl", '{"text": "good"}\n', "its record 1 differs from row 2"),
        ("out.jsonl", '{"text": "bad", "label": ""}\n', "its record 1 differs from row 2"),
        ("out.jsonl", '{"text": "good", "label": ""}\n' * 2, "more than the 1 records"),
    ],
)
async def test_another_file_is_not_continued(
    server: Serving, tmp_path: Path, name: str, content: str, why: str
) -> None:
    (tmp_path / "a.csv").write_text("text\ngood\n")
    (tmp_path / name).write_text(content)
    command = ("classify", "--address", server.address, "-f", "a.csv", "-o", name, "--resume")
    code, _, err = await run(*command, folder=tmp_path)
    assert code == 1
    assert f"{name} is not the output of this input: " in err
    assert why in err
    assert (tmp_path / name).read_text() == content


async def test_two_do_not_write_the_same_file(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("good\nhold\n")
    command = ("classify", "--address", server.address, "-f", "a.txt", "-o", "out.jsonl")
    first = await start(*command, folder=tmp_path)
    await server.contract.holding.wait()
    code, _, err = await run(*command, "--resume", folder=tmp_path)
    assert (code, err) == (
        1,
        "valence: out.jsonl is being written by another process: wait for it\n",
    )
    server.contract.released.set()
    await first.communicate()
    assert (first.returncode, len((tmp_path / "out.jsonl").read_bytes().splitlines())) == (0, 2)
