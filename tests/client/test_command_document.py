"""``valence document``: a text as a whole and by sentence, for pipes, terminals and browsers."""

from __future__ import annotations

import asyncio
import json
import os
import pty
from pathlib import Path

import pytest

from tests.client.command import MODULE, environment, run
from tests.client.conftest import Serving

TEXT = "a good room\nbad <b>food</b>\x1b[2J"


async def test_lines_for_a_pipe(server: Serving) -> None:
    code, out, err = await run("document", stdin=TEXT.encode(), VALENCE_ADDRESS=server.address)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "POSITIVE  0.75  the whole text, 2 sentences, read in 2 windows, mixed 0.25",
        "POSITIVE  0.75  a good room",
        "NEGATIVE  0.75  bad <b>food</b> [2J",
    ]


async def test_json_of_a_file(server: Serving, tmp_path: Path) -> None:
    file = tmp_path / "review.txt"
    file.write_text("good\nbad", encoding="utf-16")
    code, out, _ = await run("document", "--json", file, VALENCE_ADDRESS=server.address)
    document = json.loads(out)
    assert code == 0
    assert [each["text"] for each in document["sentences"]] == ["good", "bad"]
    assert (document["sentences"][1]["begin"], document["sentences"][1]["end"]) == (5, 8)
    assert document["sentences"][1]["sentiment"]["polarity"] == "negative"
    assert (document["sentiment"]["label"], document["mixed"]) == ("POSITIVE", 0.25)


async def test_html_shows_the_text_in_place_and_runs_none_of_it(server: Serving) -> None:
    code, out, _ = await run(
        "document", "--html", stdin=TEXT.encode(), VALENCE_ADDRESS=server.address
    )
    assert code == 0
    assert '<mark title="POSITIVE 0.75" style="background: hsl(140 70% 50% / 0.23)">' in out
    assert "bad &lt;b&gt;food&lt;/b&gt;" in out
    assert "<b>" not in out


async def test_colours_for_a_terminal(server: Serving) -> None:
    ours, theirs = pty.openpty()
    environ = environment({"VALENCE_ADDRESS": server.address})
    process = await asyncio.create_subprocess_exec(
        *MODULE, "document", stdin=asyncio.subprocess.PIPE, stdout=theirs, env=environ
    )
    os.close(theirs)
    await process.communicate(TEXT.encode())
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert "\x1b[32ma good room\x1b[0m\r\n\x1b[31mbad <b>food</b> [2J\x1b[0m" in shown


async def test_what_cannot_be_read_is_said(server: Serving, tmp_path: Path) -> None:
    wrong = tmp_path / "latin.txt"
    wrong.write_bytes(b"caf\xe9")
    code, out, err = await run("document", wrong, VALENCE_ADDRESS=server.address)
    assert (code, out) == (1, "")
    assert "is not UTF-8 at byte 3: give its --encoding" in err


@pytest.mark.full
async def test_every_way_to_ask_wrongly_is_said(server: Serving, tmp_path: Path) -> None:
    wrong = tmp_path / "latin.txt"
    wrong.write_bytes(b"caf\xe9")
    code, out, _ = await run(
        "document", "--encoding", "latin-1", wrong, VALENCE_ADDRESS=server.address
    )
    assert (code, "café" in out) == (0, True)
    code, _, err = await run("document", "--json", "--html", VALENCE_ADDRESS=server.address)
    assert (code, "give one of them" in err) == (2, True)
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate((16 << 20) + 1)
        file.write(b"text")
    code, _, err = await run("document", large, VALENCE_ADDRESS=server.address)
    assert (code, "more than 16 MiB" in err) == (1, True)
    code, _, err = await run("document", stdin=b"", VALENCE_ADDRESS=server.address)
    assert (code, "text: is empty" in err) == (1, True)
