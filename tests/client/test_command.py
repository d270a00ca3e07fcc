"""The ``valence`` command, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
from asyncio.subprocess import PIPE
from importlib.metadata import version
from typing import Any

import pytest

from tests.client.command import MODULE, environment, run, start
from tests.client.conftest import Serving


async def test_one_line_for_each_text(server: Serving) -> None:
    code, out, err = await run(
        "classify", "--address", server.address, "good  film\nreally", "bad\x1b[2J"
    )
    assert (code, err) == (0, "")
    assert out == "POSITIVE  0.75  good film really\nNEGATIVE  0.75  bad [2J\n"


async def test_says_where_a_text_was_cut(server: Serving) -> None:
    text = "a good film that has no end at all"
    code, out, _ = await run("classify", text, VALENCE_ADDRESS=server.address)
    assert (code, out) == (0, f"POSITIVE  0.75  {text}  (read 8 of 11 tokens)\n")


async def test_says_where_a_third_of_a_text_is_unknown(server: Serving) -> None:
    arguments = ("☀", "good ☀", "good ☀ ☀")
    code, out, _ = await run("classify", *arguments, VALENCE_ADDRESS=server.address)
    assert code == 0
    assert out.splitlines() == [
        "NEGATIVE  0.75  ☀  (1 of 3 tokens unknown)",
        "POSITIVE  0.75  good ☀",
        "POSITIVE  0.75  good ☀ ☀  (2 of 5 tokens unknown)",
    ]


async def test_json(server: Serving) -> None:
    code, out, err = await run("classify", "--json", "--address", server.address, "good ☀", "")
    good, bad = map(json.loads, out.splitlines())
    assert (code, err) == (1, "valence: argument 2: is empty\n")
    assert good == {
        "text": "good ☀",
        "label": "POSITIVE",
        "score": 0.75,
        "scores": [{"label": "POSITIVE", "score": 0.75}, {"label": "NEGATIVE", "score": 0.25}],
        "polarity": "positive",
        "valence": 0.5,
        "tokens_total": 4,
        "tokens_used": 4,
        "tokens_unknown": 1,
        "layers_used": 4,
        "truncated": False,
        "model": {"name": "fixed", "revision": "0123456789ab"},
        "timings": {"queue_seconds": 0.0015, "inference_seconds": 2.0},
    }
    assert bad == {
        "text": "",
        "error": {
            "code": "INVALID_ARGUMENT",
            "reason": "INVALID_FIELD",
            "message": "argument 2: is empty",
            "field": "texts[1]",
            "description": "is empty",
        },
    }


async def test_a_text_without_answer_fails_alone(server: Serving) -> None:
    code, out, err = await run("classify", "--address", server.address, "good", "", "bad")
    assert code == 1
    assert out == (
        "POSITIVE  0.75  good\nERROR        -  argument 2: is empty\nNEGATIVE  0.75  bad\n"
    )
    assert err == "valence: argument 2: is empty\n"


async def test_more_texts_than_a_batch_takes(server: Serving) -> None:
    texts = ["good" if n % 3 else "bad" for n in range(130)]
    code, out, _ = await run("classify", "--address", server.address, *texts)
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()] == texts


async def test_each_line_of_stdin(server: Serving) -> None:
    lines = b"\xef\xbb\xbfgood\r\nbad\n" + b"good\n" * 3000 + b"no end"
    code, out, err = await run("classify", "--address", server.address, stdin=lines)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "POSITIVE  0.75  good",
        "NEGATIVE  0.75  bad",
        *["POSITIVE  0.75  good"] * 3000,
        "NEGATIVE  0.75  no end",
    ]


async def test_stdin_is_answered_line_by_line(server: Serving) -> None:
    process = await start("classify", "--address", server.address)
    assert process.stdin is not None
    assert process.stdout is not None
    for text in ("good", "bad"):
        process.stdin.write(f"{text}\n".encode())
        assert (await process.stdout.readline()).decode().endswith(f"{text}\n")
    await process.communicate(b"")
    assert process.returncode == 0


async def test_interrupt(server: Serving) -> None:
    process = await start("classify", "--address", server.address)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"good\n")
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert await process.stderr.read() == b""  # and stdin is still open
    assert await process.wait() == 130
    await process.communicate(b"")


async def test_interrupt_while_an_answer_is_awaited(server: Serving) -> None:
    process = await start("classify", "--address", server.address, "hold")
    await server.contract.holding.wait()
    process.send_signal(signal.SIGINT)
    assert (await process.communicate(b""), process.returncode) == ((b"", b""), 130)


async def test_reader_that_goes_is_no_news(server: Serving) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *MODULE,
        *("classify", "--address", server.address, "good", "good"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=writing,
        stderr=PIPE,
        env=environment(),
    )
    os.close(reading)
    os.close(writing)
    _, err = await process.communicate()
    assert (process.returncode, err.decode()) == (141, "")


async def test_no_text_at_a_terminal_is_wrong_usage() -> None:
    ours, theirs = pty.openpty()
    try:
        process = await start("classify", stdin=theirs)
        _, err = await process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 2
    assert b"give a text or a --file, or pipe texts to stdin, one a line" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("clasify", "good"), "No such command 'clasify'"),
        *(
            ((command, "--timeout-seconds=1e12"), "1e+12: give more than 0 and at most 86400 seco")
            for command in ("model", "health", "watch")
        ),
        *(
            (("classify", f"--timeout-seconds={wrong}", "good"), "for '--timeout-seconds'")
            for wrong in ("0", "-1", "nan", "inf", "1e12")
        ),
        (("classify", "--overlength", "cut", "good"), "'truncate', 'reject'"),
        (("classify", "--file", "a.csv", "good"), "give texts or a --file, not both"),
        (("classify", "--json", "--output-format", "csv", "good"), "--json is not"),
        (("classify", "--delimiter", "; ", "-f", "a.csv"), "--delimiter must be one character"),
        (("classify", "--resume", "--overwrite", "-o", "a.csv", "good"), "give one of them"),
    ],
)
async def test_wrong_usage(arguments: tuple[str, ...], said: str) -> None:
    code, out, err = await run(*arguments)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("command", [("classify", "good"), ("classify",), ("model",), ("health",)])
async def test_no_server(command: tuple[str, ...], refusing: str) -> None:
    code, out, err = await run(*command, "--address", refusing, stdin=b"good\n")
    assert (code, out) == (1, "")
    said = (
        f"valence: no server answers at {refusing}: start one with `make run` or give --address ("
    )
    assert err.startswith(said)
    assert err.endswith(")\n")
    assert "Connection refused" in err  # gRPC's last error


async def test_no_answer_in_time(server: Serving) -> None:
    code, _, err = await run(
        "classify", "--address", server.address, "--timeout-seconds", "0.2", "hold"
    )
    assert code == 1
    assert err == (
        f"valence: no answer from {server.address} within 0.2 s: "
        "allow more with --timeout-seconds\n"
    )


async def test_model(server: Serving) -> None:
    code, out, _ = await run("model", "--address", server.address)
    assert code == 0
    assert out.splitlines() == [
        "model      fixed",
        "revision   0123456789ab",
        "labels     NEGATIVE (negative, -1), LABEL_1 (unspecified)",
        "limits     8 tokens read and 65536 bytes of a text, 64 texts in a batch",
        "computed   by pipeline in f32 on cpu (f32: the reference)",
    ]
    code, out, _ = await run("model", "--json", "--address", server.address)
    model: dict[str, Any] = json.loads(out)
    assert (code, model["name"], model["limits"]["max_tokens"]) == (0, "fixed", 8)


@pytest.mark.parametrize("command", [(), ("classify",), ("model",), ("health",), ("watch",)])
async def test_help(command: tuple[str, ...]) -> None:
    code, out, err = await run(*command, "--help")
    assert (code, err) == (0, "")
    assert "Usage: valence" in out


async def test_version() -> None:
    assert await run("--version") == (0, f"valence {version('valence-client')}\n", "")


async def test_completion_of_commands() -> None:
    code, out, _ = await run(
        _VALENCE_COMPLETE="complete_bash", COMP_WORDS="valence he", COMP_CWORD="1"
    )
    assert (code, out.split()) == (0, ["health"])


async def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; import valence_client.__main__ as m; m.main()"
    process = await asyncio.create_subprocess_exec(MODULE[0], "-c", code, stderr=PIPE)
    _, err = await process.communicate()
    assert process.returncode == 1
    assert err == b'valence: the command is an extra: pip install "valence-client[cli]"\n'
