"""The ``valence`` command, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from tests.client.conftest import Serving
from tests.client.contract import info, status


async def start(
    *arguments: str, stdin: int = PIPE, environment: Mapping[str, str] | None = None
) -> Process:
    kept = {name: value for name, value in os.environ.items() if name != "VALENCE_ADDRESS"}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "valence_client",
        *arguments,
        stdin=stdin,
        stdout=PIPE,
        stderr=PIPE,
        env=kept | dict(environment or {}),
    )


async def run(*arguments: str, stdin: bytes = b"", **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    process = await start(*arguments, environment=environment)
    out, err = await process.communicate(stdin)
    return await process.wait(), out.decode(), err.decode()


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


async def test_json(server: Serving) -> None:
    code, out, err = await run("classify", "--json", "--address", server.address, "good ☀", "")
    good, bad = map(json.loads, out.splitlines())
    assert (code, err) == (1, "")
    assert good == {
        "text": "good ☀",
        "label": "POSITIVE",
        "score": 0.75,
        "scores": [{"label": "POSITIVE", "score": 0.75}, {"label": "NEGATIVE", "score": 0.25}],
        "polarity": "positive",
        "valence": 0.5,
        "tokens_total": 4,
        "tokens_used": 4,
        "truncated": False,
        "model": {"name": "fixed", "revision": "0123456789ab"},
        "timings": {"queue_seconds": 0.0015, "inference_seconds": 2.0},
    }
    assert bad == {
        "text": "",
        "error": {
            "code": "INVALID_ARGUMENT",
            "reason": "INVALID_FIELD",
            "message": "texts[1]: is empty",
            "field": "texts[1]",
            "description": "is empty",
        },
    }


async def test_a_text_without_answer_fails_alone(server: Serving) -> None:
    code, out, err = await run("classify", "--address", server.address, "good", "", "bad")
    assert code == 1
    assert out == "POSITIVE  0.75  good\nNEGATIVE  0.75  bad\n"
    assert err == 'valence: texts[1]: is empty (of "")\n'


async def test_each_line_of_stdin(server: Serving) -> None:
    lines = b"\xef\xbb\xbfgood\r\n\n  \nbad\xff\n" + b"good\n" * 3000
    code, out, err = await run("classify", "--address", server.address, stdin=lines)
    first, second, *others = out.splitlines()
    assert (code, err) == (0, "")
    assert (first, second) == (
        "POSITIVE  0.75  good",
        "NEGATIVE  0.75  bad\N{REPLACEMENT CHARACTER}",
    )
    assert others == ["POSITIVE  0.75  good"] * 3000


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
        sys.executable,
        *("-m", "valence_client", "classify", "--address", server.address, "good", "good"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=writing,
        stderr=PIPE,
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
    assert b"give a text, or pipe texts to it, one a line" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "required"),
        (("clasify", "good"), "invalid choice"),
        (("classify", "--timeout-seconds", "0", "good"), "--timeout-seconds"),
        (("classify", "--overlength", "cut", "good"), "choose from"),
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
    assert err == (
        f"valence: no server answers at {refusing}: start one with `make run` or give --address\n"
    )


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


async def test_health(server: Serving) -> None:
    assert await run("health", "--address", server.address) == (0, "SERVING\n", "")
    server.contract.model = status(
        grpc.StatusCode.UNAVAILABLE, "the model is still being loaded", info("STARTING")
    )
    code, out, err = await run("health", "--address", server.address)
    assert (code, out, err) == (1, "", "valence: the model is still being loaded\n")
    await server.tell(serving=False)
    code, _, err = await run("health", "--address", server.address)
    assert code == 1
    assert "takes no calls now" in err
