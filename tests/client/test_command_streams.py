"""Standard streams that are closed or full: the output is written all the same."""

from __future__ import annotations

import asyncio
import csv
import shlex
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.client.command import MODULE, environment
from tests.client.conftest import Serving


async def shell(
    server: Serving, folder: Path, arguments: str, redirections: str
) -> tuple[int, bytes, bytes]:
    """Exit code, stdout, stderr."""
    command = f"{shlex.join(MODULE)} {arguments} {redirections}"
    process = await asyncio.create_subprocess_shell(
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment({"VALENCE_ADDRESS": server.address}),
        cwd=folder,
    )
    out, err = await process.communicate()
    return await process.wait(), out, err


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", ">&-", "<&- >&- 2>&-"])
async def test_the_output_is_written_all_the_same(
    server: Serving, tmp_path: Path, redirections: str
) -> None:
    (tmp_path / "a.csv").write_text("text\ngood\n7,8\nbad\n")
    code, out, err = await shell(server, tmp_path, "classify -f a.csv -o out.csv", redirections)
    assert code == 1  # there is a bad row
    with (tmp_path / "out.csv").open(newline="") as output:
        found = list(csv.DictReader(output))
    assert [record["label"] for record in found] == ["POSITIVE", "", "NEGATIVE"]
    assert out == b""
    said = b"valence: a.csv: line 3: has 2 cells, the header 1\n"
    assert err == (said if redirections == ">&-" else b"")


async def test_a_good_file_ends_well_without_any_stream(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\ngood\n")
    arguments = "classify -f a.csv -o out.csv"
    code, *_ = await shell(server, tmp_path, arguments, "<&- >&- 2>&-")
    assert code == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("good,POSITIVE")


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        (("classify good", ">&-"), 1, b"valence: stdout is closed: give an --output\n"),
        (("classify good", ">/dev/full"), 1, b"valence: No space left on device\n"),
        (("classify --help", ">/dev/full"), 1, b"valence: No space left on device\n"),
        (("classify", "<&-"), 2, b"give a text or a --file"),
        (("classify --quoting some", "2>/dev/full"), 2, b""),
        (("health", ">&-"), 0, b""),
    ],
)
async def test_the_exit_code(
    server: Serving, tmp_path: Path, ended: tuple[str, str], code: int, said: bytes
) -> None:
    found, _, err = await shell(server, tmp_path, *ended)
    assert found == code
    assert said in err
    assert b"Traceback" not in err
