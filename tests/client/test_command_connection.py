"""How ``valence`` finds its server, and how it shows how far it is."""

from __future__ import annotations

import asyncio
import os
import pty
from contextlib import suppress
from pathlib import Path

import pytest

from tests.client.command import MODULE, environment, run, start
from tests.client.conftest import Serving
from tests.support.certificates import Authority


async def test_tls(encrypted: str, named: str, roots: Path) -> None:
    trusting = ("--root-certificates", roots)
    code, out, _ = await run("classify", "good", "--address", encrypted, *trusting)
    assert (code, out) == (0, "POSITIVE  0.75  good\n")
    code, _, _ = await run(
        "model", VALENCE_ADDRESS=encrypted, VALENCE_CLIENT_ROOT_CERTIFICATES=str(roots)
    )
    assert code == 0
    code, _, err = await run("health", "--address", encrypted, *trusting)
    assert code == 1
    assert "does not serve" in err  # it has no health, and answers
    code, _, err = await run("classify", "good", "--address", encrypted, "--tls")
    assert code == 1
    assert "signed by no authority that is trusted here" in err
    assert "in --root-certificates (" in err
    for command in (("classify", "good"), ("health",)):
        code, _, err = await run(*command, "--address", encrypted)
        assert code == 1
        assert f"{encrypted} closes the connection: if it expects TLS, give --tls (" in err
    code, _, err = await run("model", "--address", named, *trusting)
    assert code == 1
    assert f"the certificate of {named} is for another name" in err
    assert "in --server-name (" in err
    naming = (*trusting, "--server-name", "localhost")
    assert (await run("model", "--address", named, *naming))[0] == 0
    assert "does not serve" in (await run("health", "--address", named, *naming))[2]


async def test_client_certificate(
    guarded: str, authority: Authority, roots: Path, tmp_path: Path
) -> None:
    certificate, key = authority.pair("caller").write(tmp_path)
    trusting = ("--address", guarded, "--root-certificates", roots)
    shown = ("--client-certificate", certificate, "--client-key", key)
    assert (await run("classify", "good", *trusting, *shown))[:2] == (0, "POSITIVE  0.75  good\n")
    assert "does not serve" in (await run("health", *trusting, *shown))[2]
    for command in (("classify", "good"), ("health",)):
        code, _, err = await run(*command, *trusting)
        assert code == 1
        assert "may require another --client-certificate and --client-key" in err
    code, _, err = await run("model", *trusting, *shown[:2])
    assert code == 2
    assert "go together" in err


async def test_token(server: Serving, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("swordfish\n")
    asked = ("model", "--address", server.address)
    assert (await run(*asked, "--token-file", token))[0] == 0
    assert (await run(*asked, VALENCE_CLIENT_TOKEN_FILE=str(token)))[0] == 0
    assert server.contract.authorization == ["Bearer swordfish"] * 2


@pytest.mark.parametrize(
    ("command", "content"),
    [
        *(("model", content) for content in ("", "\n", "one two", "one\ntwo\n", "größe")),
        ("health", ""),
        ("watch", ""),
    ],
)
async def test_a_file_with_no_token(tmp_path: Path, command: str, content: str) -> None:
    (tmp_path / "token").write_text(content)
    code, _, err = await run(command, "--token-file", tmp_path / "token")
    assert code == 2
    assert "/token: give one token" in err


async def test_files_that_are_not_there(tmp_path: Path) -> None:
    for option in ("--token-file", "--root-certificates"):
        code, _, err = await run("model", option, tmp_path / "missing")
        assert code == 2
        assert f"{tmp_path}/missing cannot be read: No such file" in err


async def test_addresses_that_cannot_work() -> None:
    for command in ("model", "health", "watch"):
        code, _, err = await run(command, "--address", "http://127.0.0.1:50051")
        assert code == 2
        assert "--address is 'http://127.0.0.1:50051': give host:port without http://" in err


async def test_a_bar_on_a_terminal(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "good\n" * 500 + '""\n')
    ours, theirs = pty.openpty()
    process = await start(
        *("classify", "--address", server.address, "-f", tmp_path / "a.csv", "-o"),
        *(tmp_path / "out.csv",),
        stderr=theirs,
        environ={"TERM": "xterm"},
    )
    os.close(theirs)
    shown = await asyncio.to_thread(read_all, ours)
    await process.communicate()
    assert process.returncode == 1
    assert "100%" in shown
    assert "501 rows" in shown
    assert "line 502: is empty" in shown


async def test_no_bar_in_a_log(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("good\n" * 500)
    command = ("classify", "--address", server.address, "-f", tmp_path / "a.txt", "-o")
    assert await run(*command, tmp_path / "out.csv") == (0, "", "")


@pytest.mark.parametrize(("wish", "coloured"), [("", True), ("1", False)])
async def test_colours_on_a_terminal_that_wants_them(
    server: Serving, wish: str, coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *MODULE,
        *("classify", "--address", server.address, "good"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs,
        env=environment({"NO_COLOR": wish}),
    )
    os.close(theirs)
    shown = await asyncio.to_thread(read_all, ours)
    assert await process.wait() == 0
    label = "\x1b[32mPOSITIVE\x1b[0m" if coloured else "POSITIVE"
    assert shown == f"{label}  0.75  good\r\n"


def read_all(terminal: int) -> str:
    """What is printed until the other side closes."""
    content = b""
    with suppress(OSError):  # how a terminal says that it has ended
        while chunk := os.read(terminal, 65536):
            content += chunk
    os.close(terminal)
    return content.decode()
