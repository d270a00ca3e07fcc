"""How both clients connect: target, channel options, deadline, credentials."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import grpc

from valence_client._address import Address, bypasses_proxies, target_of
from valence_client._attempts import Attempts, RetryBudget
from valence_client._seconds import check_seconds
from valence_client._token import Token, bearer
from valence_client._unreachable import Peer

ChannelOptions: TypeAlias = Sequence[tuple[str, str | int]]
LoadBalancing: TypeAlias = Literal["round_robin", "weighted_round_robin"]
Compression: TypeAlias = Literal["gzip", "deflate"]
Pem: TypeAlias = bytes | Path
"""Certificates or a key in PEM, or the path of their file."""

SERVICE = "valence.v1.SentimentService"
DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_WINDOW_TEXTS = 1024
# As many attempts as gRPC's own retries allow.
MAX_RETRIES = 4
# The client retries by itself: see _attempts.py.
SERVICE_CONFIG: dict[str, object] = {
    # Send no calls to a server that starts or drains. One without health checks is healthy.
    "healthCheckConfig": {"serviceName": SERVICE},
}
_CALL_OPTIONS: dict[str, str | int] = {
    # The response to a full batch of a model with many labels may exceed gRPC's 4 MiB.
    "grpc.max_receive_message_length": 64 << 20,
}
_COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


class Connection:
    """The arguments of both clients' constructors, checked."""

    def __init__(
        self,
        address: Address,
        *,
        timeout_seconds: float | None,
        retries: int,
        tls: bool,
        root_certificates: Pem | None,
        client_certificate: Pem | None,
        client_key: Pem | None,
        server_name: str | None,
        token: Token | None,
        compression: Compression | None,
        load_balancing: LoadBalancing,
        channel_options: ChannelOptions,
    ) -> None:
        """Check the arguments, and read the files. Raise ValueError, OSError."""
        if timeout_seconds is not None:
            check_seconds(timeout_seconds, or_none=True)
        if not 0 <= retries <= MAX_RETRIES:
            raise ValueError(f"retries is {retries}: give 0 to {MAX_RETRIES}")
        if not tls and not (root_certificates is client_certificate is client_key is None):
            raise ValueError("root_certificates, client_certificate and client_key need tls=True")
        if (client_certificate is None) != (client_key is None):
            raise ValueError("client_certificate and client_key go together: give both or neither")
        if compression is not None and compression not in _COMPRESSIONS:
            raise ValueError(f"compression is {compression!r}: choose 'gzip' or 'deflate'")
        if load_balancing not in get_args(LoadBalancing):
            raise ValueError(
                f"load_balancing is {load_balancing!r}: choose 'round_robin' or "
                "'weighted_round_robin'"
            )
        config = SERVICE_CONFIG | {"loadBalancingConfig": [{load_balancing: {}}]}
        self.address = address if isinstance(address, str) else ", ".join(address)
        """The address as messages show it."""
        self.peer = Peer(self.address, tls=tls)
        self.target = target_of(address)
        self.timeout_seconds = timeout_seconds
        self.retries = retries
        self._retry_budget = RetryBudget()
        self.metadata: Callable[[], tuple[tuple[str, str], ...]] = bearer(token)
        """Returns the metadata of a call; called for each call, as tokens change."""
        self.credentials = (
            channel_credentials(
                root_certificates=root_certificates,
                client_certificate=client_certificate,
                client_key=client_key,
            )
            if tls
            else None
        )
        self.compression = _COMPRESSIONS[compression] if compression else None
        options = connect_options(address, server_name) | _CALL_OPTIONS
        options |= {"grpc.service_config": json.dumps(config), **dict(channel_options)}
        self.options = list(options.items())

    def attempts(self) -> Attempts:
        """Start the deadline of a call, and return the attempts that it may take."""
        return Attempts(
            self.address,
            self._retry_budget,
            retries=self.retries,
            timeout_seconds=self.timeout_seconds,
        )


def channel_credentials(
    *,
    root_certificates: Pem | None,
    client_certificate: Pem | None,
    client_key: Pem | None,
) -> grpc.ChannelCredentials:
    """Return the credentials of a channel with TLS. Raise ValueError for no PEM, OSError."""
    roots = _pem("root_certificates", root_certificates, "CERTIFICATE")
    certificate = _pem("client_certificate", client_certificate, "CERTIFICATE")
    key = _pem("client_key", client_key, "PRIVATE KEY")
    return grpc.ssl_channel_credentials(roots, key, certificate)


def _pem(name: str, given: Pem | None, label: str) -> bytes | None:
    """Return what is given, or what its file holds. Of anything but PEM gRPC says nothing."""
    pem = given.read_bytes() if isinstance(given, Path) else given
    if pem is not None and not re.search(rb"-----BEGIN [A-Z ]*" + label.encode(), pem):
        what = str(given) if isinstance(given, Path) else name
        raise ValueError(f"{what} holds no {label.lower()}: give {name} in PEM")
    return pem


def connect_options(address: Address, server_name: str | None) -> dict[str, str | int]:
    """Return the channel arguments of any channel to a server."""
    named: dict[str, str | int] = {"grpc.default_authority": server_name} if server_name else {}
    return named | {
        # Find a restarted server soon. By default gRPC reconnects after a second, and later waits
        # up to two minutes.
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 2_000,
        # Give up on a peer that accepts a connection and says nothing before a call's deadline
        # passes, so that the error says so. By default gRPC waits for 20 seconds.
        "grpc.min_reconnect_backoff_ms": 5_000,
        # Notice a peer that vanished without closing, even in a stream, which has no deadline. A
        # server with gRPC's defaults disconnects clients that ping more often than every five
        # minutes. What a client sends meanwhile is noticed as lost after the timeout.
        "grpc.keepalive_time_ms": 330_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.http2.max_pings_without_data": 0,
        "grpc.enable_http_proxy": int(not bypasses_proxies(address)),
    }
