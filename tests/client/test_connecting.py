"""Each way in which no connection comes about has a name, on both stacks."""

from __future__ import annotations

import asyncio
import select
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from valence.v1 import sentiment_pb2_grpc
from valence_client import AsyncClient, Client, Unavailable, ValenceError
from valence_client._address import bypasses_proxies
from valence_client.testing import FakeService

from tests.client import twins
from tests.client.command import environment
from tests.client.conftest import Open, Serving, encrypting
from tests.client.contract import Contract
from tests.support.certificates import Authority

# A name that no DNS has: a proxy would look it up.
BEYOND = "server.invalid:50051"
# Instead of five seconds.
SOON = ("grpc.min_reconnect_backoff_ms", 100)
STRANGER = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def listening(reply: bytes | None, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that reads once, and then replies, or closes if there is no reply."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                connection = (
                    tls.wrap_socket(self.request, server_side=True) if tls else self.request
                )
                with connection:
                    connection.recv(65536)
                    if reply is not None:
                        connection.sendall(reply)
                        while connection.recv(65536):
                            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        serving.join()


async def failure(kind: str, address: str | list[str], **options: object) -> str:
    """Why a call has no answer. gRPC's own error is the cause, and its words are in the message."""
    async with twins.opened(kind, address, retries=0, **options) as ask:
        with pytest.raises(Unavailable) as caught:
            await ask.classify("good")
    assert caught.value.reason == "UNREACHABLE"
    cause = caught.value.__cause__
    assert isinstance(cause, grpc.RpcError)
    said = str(cause.details()).rpartition("last error: ")[2].partition(": ")[2]
    assert f"{said})" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (STRANGER, "does not speak gRPC: check the port"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak gRPC: check the port"),
        (None, "closes the connection: if it expects TLS, give tls=True"),
        (b"", "accepts connections and says nothing"),
    ],
)
async def test_server_of_something_else(kind: str, reply: bytes | None, said: str) -> None:
    with listening(reply) as address:
        told = await failure(kind, address, channel_options=[SOON])
    assert told.startswith(f"{address} {said}")


@pytest.mark.parametrize("reply", [None, b""])
async def test_server_that_does_not_answer_a_handshake(kind: str, reply: bytes | None) -> None:
    with listening(reply) as address:
        told = await failure(kind, address, tls=True, channel_options=[SOON])
    assert f"{address} " in told
    assert "TLS handshake" in told


async def test_server_without_tls(kind: str, server: Serving) -> None:
    told = await failure(kind, server.address, tls=True)
    assert told.startswith(f"{server.address} does not speak TLS: connect without tls=True")


async def test_server_with_tls(kind: str, encrypted: str) -> None:
    told = await failure(kind, encrypted)
    assert told.startswith(f"{encrypted} closes the connection: if it expects TLS, give tls=True")


async def test_server_of_another_protocol_with_tls(
    kind: str, authority: Authority, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.pair("127.0.0.1").write(tmp_path))
    trusted = {"tls": True, "root_certificates": authority.certificate}
    with listening(b"", tls=context) as address:
        told = await failure(kind, address, **trusted)
    assert told.startswith(f"{address} speaks TLS but not HTTP/2")


@pytest.mark.parametrize(
    ("name", "expired", "said"),
    [
        ("127.0.0.1", True, "has expired: renew it"),
        ("other.example", False, "is for another name"),
    ],
)
async def test_certificate(
    kind: str, authority: Authority, name: str, expired: bool, said: str
) -> None:
    trusted = {"tls": True, "root_certificates": authority.certificate}
    async with encrypting(authority, name, expired=expired) as address:
        told = await failure(kind, address, **trusted)
    assert told.startswith(f"the certificate of {address} {said}")


async def test_key_of_another_certificate(guarded: str, authority: Authority) -> None:
    certificate, key = authority.pair("caller").certificate, authority.pair("caller").key
    # grpcio 1.71 says nothing of it until the deadline.
    options = {"tls": True, "retries": 0, "timeout_seconds": 0.5}
    async with twins.opened(
        "sync", guarded, client_certificate=certificate, client_key=key, **options
    ) as ask:
        with pytest.raises(ValenceError, match=r"the key belongs to the certificate|in time"):
            await ask.classify("good")


async def test_host_that_does_not_exist(kind: str) -> None:
    told = await failure(kind, BEYOND)
    assert told.startswith(f"the host of {BEYOND} is unknown: check the name")


async def test_unix_socket_that_does_not_exist(kind: str, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/none"
    told = await failure(kind, address)
    assert told.startswith(f"no server listens on {address}")


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment, without the proxies of this machine."""
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


async def test_proxy_that_is_dead(kind: str, proxied: pytest.MonkeyPatch, refusing: str) -> None:
    proxied.setenv("http_proxy", f"http://user:secret@{refusing}")
    told = await failure(kind, BEYOND)
    assert told.startswith(f"no connection through the proxy {refusing}: correct http_proxy")
    assert "no_proxy" in told
    assert "secret" not in told


async def test_proxy_whose_host_does_not_exist(kind: str, proxied: pytest.MonkeyPatch) -> None:
    proxied.setenv("https_proxy", "http://proxy.invalid:3128")
    told = await failure(kind, BEYOND)
    assert told.startswith("no connection through the proxy proxy.invalid:3128: correct https_")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("403 Forbidden", f"does not connect to {BEYOND} (HTTP status 403): allow it there"),
        ("407 Proxy Authentication Required", "asks for a user: put user and password into"),
    ],
)
async def test_proxy_that_refuses(
    kind: str, proxied: pytest.MonkeyPatch, status: str, said: str
) -> None:
    with listening(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()) as proxy:
        proxied.setenv("grpc_proxy", f"http://{proxy}")
        told = await failure(kind, BEYOND)
    assert told.startswith(f"the proxy {proxy} {said}")


async def test_no_proxy_between_this_machine_and_itself(
    kind: str, proxied: pytest.MonkeyPatch, server: Serving, refusing: str
) -> None:
    proxied.setenv("http_proxy", f"http://{refusing}")
    port = server.address.rpartition(":")[2]
    # With several addresses gRPC would ask the proxy for all of them at once.
    for address in (server.address, f"localhost:{port}", [server.address, server.address]):
        async with twins.opened(kind, address, retries=0) as ask:
            assert (await ask.classify("good")).label == "POSITIVE"


async def test_one_address_of_several_is_dead(kind: str, server: Serving, refusing: str) -> None:
    async with twins.opened(kind, [refusing, server.address], retries=0) as ask:
        for _ in range(4):
            assert (await ask.classify("good")).label == "POSITIVE"


async def test_address_of_a_name_that_refuses_does_not_hide_the_cause(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of "localhost", if the server listens on one of its addresses."""
    connecting = "connections to all backends failing; last error: UNKNOWN: ipv4:127.0.0.1:1: "
    refused = "Failed to connect to remote host: Connection refused"
    says = ["Tls handshake failed: CERTIFICATE_VERIFY_FAILED", refused, refused, refused]
    servicer, running = Contract(), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(servicer, running)
    address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    await running.start()

    async def fail(_: object, context: grpc.aio.ServicerContext[object, object]) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, connecting + says.pop(0))

    monkeypatch.setattr(servicer, "_begin", fail)
    async with twins.opened(kind, address) as ask:
        with pytest.raises(Unavailable, match="signed by no authority") as caught:
            await ask.classify("good")
    await running.stop(0)
    assert says == []
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value.__cause__)


async def test_connection_that_breaks(kind: str, server: Serving) -> None:
    def relay(taken: socket.socket) -> None:
        host, _, port = server.address.rpartition(":")
        near, _ = taken.accept()
        with near, socket.create_connection((host, int(port))) as far:
            while not server.contract.holding.is_set():
                for source in select.select([near, far], [], [], 0.01)[0]:
                    (far if source is near else near).sendall(source.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as taken:
        relaying = asyncio.create_task(asyncio.to_thread(relay, taken))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with twins.opened(kind, address, retries=0) as ask:
            with pytest.raises(Unavailable, match=f"the connection to {address} broke"):
                await ask.classify("hold")
        await relaying


async def test_answer_that_is_too_large_for_the_client(client: Open) -> None:
    async with client(channel_options=[("grpc.max_receive_message_length", 10)]) as ask:
        with pytest.raises(ValenceError, match="is larger than this client takes") as caught:
            await ask.classify("good")
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def stock() -> Iterator[FakeService]:
    """A server with gRPC's defaults."""
    with FakeService() as service:
        yield service


def test_a_silent_peer_is_given_up_before_the_default_deadline() -> None:
    options = dict(Client("127.0.0.1:1")._connection.options)
    assert int(options["grpc.min_reconnect_backoff_ms"]) < 10_000


def test_clients_ping_as_seldom_as_stock_servers_allow(stock: FakeService) -> None:
    for make in (Client, AsyncClient):
        options = dict(make(stock.address)._connection.options)
        # gRPC's default of grpc.http2.min_ping_interval_without_data_ms.
        assert int(options["grpc.keepalive_time_ms"]) > 300_000


# gRPC pings at most once a second, whatever it is told, and a server takes two too many.
@pytest.mark.full
def test_stock_servers_disconnect_clients_that_ping_more_often(stock: FakeService) -> None:
    never = threading.Event()
    often = [("grpc.keepalive_time_ms", 20), ("grpc.use_local_subchannel_pool", 1)]

    def texts() -> Iterator[str]:
        yield "good"
        never.wait()

    with Client(stock.address, retries=0, channel_options=often) as client:
        answers = client.classify_stream(texts())
        next(answers)
        with pytest.raises(Unavailable, match=r"ping so often: raise grpc.keepalive_time_ms"):
            next(answers)
        never.set()


def test_a_client_of_two_event_loops(stock: FakeService) -> None:
    client = AsyncClient(stock.address)

    async def stream() -> None:
        [answer async for answer in client.classify_stream(["good"])]

    asyncio.run(ask_once(client))
    for again in (ask_once(client), client.wait_ready(), stream()):
        with pytest.raises(RuntimeError, match="belongs to the event loop of its first call"):
            asyncio.run(again)
    asyncio.run(client.close())


async def test_a_client_of_two_threads_with_event_loops(stock: FakeService) -> None:
    async with AsyncClient(stock.address) as client:
        await ask_once(client)
        with pytest.raises(RuntimeError, match=r"make a client in each asyncio.run"):
            await asyncio.to_thread(lambda: asyncio.run(ask_once(client)))
        await ask_once(client)


async def ask_once(client: AsyncClient) -> None:
    assert (await client.classify("good")).label == "POSITIVE"


FORKS = """
import os, sys
from valence_client import Client
client = Client(sys.argv[1], retries=0)
print(client.classify("good").label, flush=True)
child = os.fork()
if not child:
    print(client.classify("good").label, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(client.classify("good").label, flush=True)
os._exit(0)
"""

NOTES = """
from valence_client import Client, ValenceError
from valence_client.testing import FakeService
with FakeService() as service, Client(service.address, tls=True, retries=0) as client:
    try:
        client.classify("good")
    except ValenceError as error:
        print(error)
"""


@pytest.mark.parametrize("environ", [{}, {"GRPC_ENABLE_FORK_SUPPORT": "1"}])
def test_a_client_of_a_process_that_forks(stock: FakeService, environ: dict[str, str]) -> None:
    forks = [sys.executable, "-W", "ignore", "-c", FORKS, stock.address]
    done = subprocess.run(
        forks, capture_output=True, text=True, env=environment(environ), timeout=60, check=False
    )
    assert done.stdout == "POSITIVE\n" * 3, done.stderr


def test_notes_of_the_core_stay_off_the_terminal() -> None:
    notes = [sys.executable, "-c", NOTES]
    done = subprocess.run(
        notes, capture_output=True, text=True, env=environment(), timeout=60, check=True
    )
    assert "does not speak TLS" in done.stdout
    assert done.stderr == ""


async def test_unix_socket(kind: str, tmp_path: Path) -> None:
    running = grpc.aio.server()
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Contract(), running)
    path = tmp_path / "socket"
    running.add_insecure_port(f"unix:{path}")
    await running.start()
    for address in (f"unix:{path}", f"unix://{path}"):
        async with twins.opened(kind, address, retries=0) as ask:
            assert (await ask.classify("good")).label == "POSITIVE"
    await running.stop(0)


@pytest.mark.parametrize(
    ("address", "goes_round"),
    [
        ("localhost:1", True),
        ("dns:///localhost:1", True),
        ("dns:127.0.0.1:1", True),
        ("ipv4:127.0.0.1:1", True),
        ("ipv6:[::1]:1", True),
        (["10.0.0.1:1", "10.0.0.2:1"], True),
        ("dns:///example.com:1", False),
        ("10.0.0.1:1", False),
    ],
)
def test_proxies_are_gone_round(address: str | list[str], goes_round: bool) -> None:
    assert bypasses_proxies(address) is goes_round
