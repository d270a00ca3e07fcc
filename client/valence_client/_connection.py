"""How both clients connect: target, channel options, deadline, credentials."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import grpc

from valence_client._attempts import Attempts, RetryBudget
from valence_client._token import Token, bearer

Address: TypeAlias = str | Sequence[str]
ChannelOptions: TypeAlias = Sequence[tuple[str, str | int]]
Compression: TypeAlias = Literal["gzip", "deflate"]
Pem: TypeAlias = bytes | Path
"""Certificates or a key in PEM, or the path of their file."""

SERVICE = "valence.v1.SentimentService"
DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_WINDOW_TEXTS = 1024
# As many attempts as gRPC's own retries allow.
MAX_RETRIES = 4
# The client retries by itself: see _attempts.py.
SERVICE_CONFIG = {
    # Spread calls over every address of the name; gRPC's default uses the first one only.
    "loadBalancingConfig": [{"round_robin": {}}],
    # Send no calls to a server that starts or drains. One without health checks is healthy.
    "healthCheckConfig": {"serviceName": SERVICE},
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
        channel_options: ChannelOptions,
    ) -> None:
        """Check the arguments, and read the files. Raise ValueError, OSError."""
        if timeout_seconds is not None and not timeout_seconds > 0:
            raise ValueError(f"timeout_seconds is {timeout_seconds}: give more than 0, or None")
        if not 0 <= retries <= MAX_RETRIES:
            raise ValueError(f"retries is {retries}: give 0 to {MAX_RETRIES}")
        if not tls and not (root_certificates is client_certificate is client_key is None):
            raise ValueError("root_certificates, client_certificate and client_key need tls=True")
        if (client_certificate is None) != (client_key is None):
            raise ValueError("client_certificate and client_key go together: give both or neither")
        if compression is not None and compression not in _COMPRESSIONS:
            raise ValueError(f"compression is {compression!r}: choose 'gzip' or 'deflate'")
        self.address = address if isinstance(address, str) else ", ".join(address)
        """The address as messages show it."""
        self.target = _target(address)
        self.timeout_seconds = timeout_seconds
        self.retries = retries
        self._retry_budget = RetryBudget()
        self.metadata: Callable[[], tuple[tuple[str, str], ...]] = bearer(token)
        """Returns the metadata of a call; called for each call, as tokens change."""
        self.credentials = (
            grpc.ssl_channel_credentials(
                _pem(root_certificates), _pem(client_key), _pem(client_certificate)
            )
            if tls
            else None
        )
        self.compression = _COMPRESSIONS[compression] if compression else None
        named: dict[str, str | int] = {"grpc.default_authority": server_name} if server_name else {}
        self.options = list((_options() | named | dict(channel_options)).items())

    def attempts(self) -> Attempts:
        """Start the deadline of a call, and return the attempts that it may take."""
        return Attempts(
            self.address,
            self._retry_budget,
            retries=self.retries,
            timeout_seconds=self.timeout_seconds,
        )


def _target(address: Address) -> str:
    """Return gRPC's name for the address, or for several as one target. Raise ValueError."""
    if isinstance(address, str):
        return address
    families: set[int] = set()
    for each in address:
        host, _, port = each.rpartition(":")
        try:
            families.add(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).version)
            int(port)
        except ValueError:
            raise ValueError(
                f"address has {each!r}: where there are several, each is an IP address and a port; "
                "for a name that has several, give dns:///name:port alone"
            ) from None
    if len(families) != 1:
        raise ValueError("address: give at least one, and IPv4 or IPv6 addresses, not both")
    return f"ipv{families.pop()}:{','.join(address)}"


def _pem(given: Pem | None) -> bytes | None:
    return given.read_bytes() if isinstance(given, Path) else given


def _options() -> dict[str, str | int]:
    return {
        "grpc.service_config": json.dumps(SERVICE_CONFIG),
        # Find a restarted server soon. By default gRPC reconnects after a second, and later waits
        # up to two minutes.
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 2_000,
        # Notice a peer that vanished without closing, even in a stream, which has no deadline.
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.http2.max_pings_without_data": 0,
        # The response to a full batch of a model with many labels may exceed gRPC's 4 MiB.
        "grpc.max_receive_message_length": 64 << 20,
    }
