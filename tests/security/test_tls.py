"""TLS: who is let in, what is logged of who is not, and certificates that change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from valence.v1 import sentiment_pb2 as pb

from tests.support.certificates import Authority, Pair
from tests.support.server import Server, run, serving
from tests.support.stubs import async_stub
from tests.support.waiting import until

TEXT = pb.ClassifyRequest(text="good")
# A channel of its own connection: grpc shares one between channels of the same address.
OWN = [("grpc.use_local_subchannel_pool", 1)]


def port(server: Server) -> str:
    return f"localhost:{server.address.rsplit(':', 1)[1]}"


def write(path: str, contents: bytes) -> None:
    Path(path).write_bytes(contents)


async def ask(server: Server, credentials: grpc.ChannelCredentials) -> pb.ClassifyResponse:
    async with grpc.aio.secure_channel(port(server), credentials, options=OWN) as channel:
        response: pb.ClassifyResponse = await async_stub(channel).Classify(TEXT, timeout=10)
        return response


async def refused(server: Server, credentials: grpc.ChannelCredentials) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(server, credentials)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    return str(caught.value.details())


async def test_a_caller_who_trusts_the_certificate_is_answered(
    two_labels: str, tmp_path: Path
) -> None:
    authority = Authority()
    certificate, key = authority.pair().write(tmp_path)
    arguments = ("--model", two_labels, "--tls-certificate", certificate, "--tls-key", key)
    with serving(*arguments) as server:
        assert (await ask(server, authority.credentials())).sentiment.label
        await refused(server, Authority().credentials())
        async with grpc.aio.insecure_channel(port(server), options=OWN) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await async_stub(channel).Classify(TEXT, timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.end() == 0


async def test_only_callers_of_the_authority_get_in_and_the_log_says_why(
    two_labels: str, tmp_path: Path
) -> None:
    authority, stranger = Authority(), Authority()
    certificate, key = authority.pair().write(tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    arguments = ("--tls-certificate", certificate, "--tls-key", key)
    client_ca = ("--tls-client-ca", str(tmp_path / "ca.pem"))
    wrong: dict[str, Pair | None] = {
        "NOT_RETURN_A_CERTIFICATE": None,
        "certificate has expired": authority.pair("caller", expired=True),
        "unable to get local issuer": stranger.pair("caller"),
    }
    with serving("--model", two_labels, *arguments, *client_ca) as server:
        assert (await ask(server, authority.credentials(authority.pair("caller")))).sentiment.label
        for reason, pair in wrong.items():
            told = await refused(server, authority.credentials(pair))
            assert reason not in told
            while reason not in server.event("handshake_failed")["reason"]:
                pass
        assert (await ask(server, authority.credentials(authority.pair("caller")))).sentiment.label
        assert server.end() == 0


async def test_a_certificate_is_swapped_while_calls_run_and_none_fails(
    two_labels: str, tmp_path: Path
) -> None:
    before, after = Authority(), Authority()
    certificate, key = before.pair().write(tmp_path)
    arguments = ("--model", two_labels, "--tls-certificate", certificate, "--tls-key", key)
    with serving(*arguments) as server:
        swapped = asyncio.Event()
        answered = 0

        async def caller() -> None:
            nonlocal answered
            async with grpc.aio.secure_channel(
                port(server), before.credentials(), options=OWN
            ) as channel:
                while not swapped.is_set():
                    assert (await async_stub(channel).Classify(TEXT, timeout=10)).sentiment.label
                    answered += 1

        async with asyncio.timeout(60):
            callers = [asyncio.create_task(caller()) for _ in range(8)]
            await until(lambda: answered > 100)
            # Halves that do not fit serve nobody: the old pair serves on.
            pair = after.pair()
            write(certificate, pair.certificate)
            assert (await ask(server, before.credentials())).sentiment.label
            assert "the old one serves" in server.event("certificate")["hint"]
            write(key, pair.key)
            assert (await ask(server, after.credentials())).sentiment.label
            await refused(server, before.credentials())
            so_far = answered
            await until(lambda: answered > so_far + 100)
            swapped.set()
            await asyncio.gather(*callers)
        assert server.end() == 0


@pytest.mark.parametrize("what", ["missing", "no PEM", "another's key", "no authority"])
def test_files_that_are_no_certificate_are_named(tmp_path: Path, what: str) -> None:
    certificate, key = Authority().pair().write(tmp_path)
    if what == "missing":
        Path(key).unlink()
    elif what == "no PEM":
        Path(certificate).write_text("no certificate")
    elif what == "another's key":
        Path(key).write_bytes(Authority().pair().key)
    authority = tmp_path / "authority"
    authority.write_text("no certificate")
    flags = ["--port", "0", "--tls-certificate", certificate, "--tls-key", key]
    both = f"--tls-certificate {certificate}, --tls-key {key}: "
    named = {
        "missing": f"--tls-key {key}: No such file",
        "no authority": f"--tls-client-ca {authority}: ",
    }.get(what, both)
    ended = run(*flags, *(["--tls-client-ca", str(authority)] if what == "no authority" else []))
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"valence-serve: {named}")
    assert "Traceback" not in ended.stderr


def test_plaintext_for_other_machines_must_be_said_aloud() -> None:
    ended = run("--port", "0", "--host", "0.0.0.0")  # noqa: S104  it is not to listen there
    assert ended.returncode == 2
    assert "--insecure" in ended.stderr
