"""Bearer tokens: whose call counts, and how tokens are changed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from valence.v1 import sentiment_pb2 as pb
from valence_service.transports import auth
from valence_service.transports.auth import BadTokens, Tokens

from tests.support.errors import told
from tests.support.server import Server, run, serving
from tests.support.stubs import async_stub

TOKEN, OTHER = "correct-horse-battery-staple", "another-token-of-some-length"
TEXT = pb.ClassifyRequest(text="good")


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def code(call: object) -> grpc.StatusCode:
    """What a call ends with."""
    try:
        await call  # type: ignore[misc]  # grpc.aio's calls have no common type
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_token_of_the_file_lets_a_call_pass_and_nothing_else_does(
    two_labels: str, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# ours\n{TOKEN}\n\n{OTHER}\n")
    wrong = {
        (): "no token",
        bearer(TOKEN[:-1]): "unknown token",
        bearer(""): "unknown token",
        bearer("# ours"): "unknown token",
        (("authorization", TOKEN),): "no bearer token",
        (("authorization", f"Basic {TOKEN}"),): "no bearer token",
        (("x-token", TOKEN),): "no token",
    }
    with serving("--model", two_labels, "--token-file", str(tokens)) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = async_stub(channel)
            for token in (TOKEN, OTHER):
                assert (await stub.Classify(TEXT, metadata=bearer(token))).sentiment.label
            logged = set()
            for metadata, reason in wrong.items():
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.Classify(TEXT, metadata=metadata, timeout=10)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                said = told(caught.value)
                assert said.reason == "UNAUTHENTICATED"
                assert reason not in said.message
                if reason not in logged:  # of each reason a line a second at most
                    assert server.event("unauthenticated")["reason"] == reason
                logged.add(reason)
            # A stream is refused though it has not sent anything, as is every other method.
            stream = stub.StreamClassify(timeout=10)
            assert await stream.code() is grpc.StatusCode.UNAUTHENTICATED
            batch = stub.BatchClassify(pb.BatchClassifyRequest(texts=["good"]))
            assert await code(batch) is grpc.StatusCode.UNAUTHENTICATED
            assert await code(stub.GetModel(pb.GetModelRequest())) is (
                grpc.StatusCode.UNAUTHENTICATED
            )
        assert server.end() == 0


def reflected(address: str) -> grpc.StatusCode:
    """What reflection ends with. Not asked by grpc.aio, whose writes can hide a refusal."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with grpc.insecure_channel(address) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        try:
            next(stub.ServerReflectionInfo(iter([request])))
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


async def open_to_all(server: Server) -> tuple[bool, bool]:
    """Whether health and reflection answer without a token."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        health = await code(check)
    reflection = await asyncio.to_thread(reflected, server.address)
    closed = grpc.StatusCode.UNAUTHENTICATED
    assert {health, reflection} <= {closed, grpc.StatusCode.OK}
    return health is not closed, reflection is not closed


@pytest.mark.parametrize(
    ("arguments", "is_open"),
    [
        ((), (True, False)),
        (("--no-public-health",), (False, False)),
        (("--public-reflection",), (True, True)),
    ],
)
async def test_health_and_reflection_are_open_or_closed_as_set(
    two_labels: str, tmp_path: Path, arguments: tuple[str, ...], is_open: tuple[bool, bool]
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    with serving("--model", two_labels, "--token-file", str(tokens), *arguments) as server:
        assert await open_to_all(server) == is_open


async def test_without_a_token_file_all_is_open(two_labels: str) -> None:
    with serving("--model", two_labels) as server:
        assert await open_to_all(server) == (True, True)


def test_tokens_are_changed_while_calls_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REREAD_SECONDS", 0)
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    tokens = Tokens(path)
    assert (tokens.accepts(TOKEN), tokens.accepts(OTHER)) == (True, False)
    path.write_text(f"{TOKEN}\n{OTHER}\n")
    assert (tokens.accepts(TOKEN), tokens.accepts(OTHER)) == (True, True)
    path.write_text(f"{OTHER}\n")
    assert (tokens.accepts(TOKEN), tokens.accepts(OTHER)) == (False, True)


@pytest.mark.parametrize("written", ["", "# nothing\n", "short\n", None, "ü" * 20])
def test_a_file_that_goes_bad_leaves_the_old_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None
) -> None:
    monkeypatch.setattr(auth, "REREAD_SECONDS", 0)
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    tokens = Tokens(path)
    if written is None:
        path.unlink()
    else:
        path.write_text(written)
    assert tokens.accepts(TOKEN)
    assert not tokens.accepts("short")
    assert not tokens.accepts("")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (None, "No such file"),
        ("", "there is no token in it"),
        ("# only a comment", "there is no token in it"),
        (f"{TOKEN}\nshort", "line 2 has 5 characters, and 16 are the least"),
        ("ü" * 20, "not ASCII"),
    ],
)
def test_a_bad_file_is_named_at_the_start(tmp_path: Path, written: str | None, says: str) -> None:
    path = tmp_path / "tokens"
    if written is not None:
        path.write_text(written)
    with pytest.raises(BadTokens, match=says):
        Tokens(path)


def test_a_server_without_its_tokens_does_not_start(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    ended = run("--port", "0", "--token-file", missing)
    assert ended.returncode == 2
    assert ended.stderr == f"valence-serve: --token-file {missing}: No such file or directory\n"
