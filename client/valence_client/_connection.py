"""How both clients connect: address, channel options, deadline, credentials."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

import grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

ChannelOptions: TypeAlias = "Sequence[tuple[str, str | int]]"

SERVICE = "valence.v1.SentimentService"
DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_WINDOW_TEXTS = 1024
# grpc makes no more attempts than five, whatever it is told.
MAX_RETRIES = 4


class Connection:
    """The constructor's arguments of both clients, checked. Raises ValueError."""

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float | None,
        retries: int,
        tls: bool,
        root_certificates: bytes | None,
        token: str | None,
        channel_options: ChannelOptions,
    ) -> None:
        if timeout_seconds is not None and not timeout_seconds > 0:
            raise ValueError(f"timeout_seconds is {timeout_seconds}: give more than 0, or None")
        if not 0 <= retries <= MAX_RETRIES:
            raise ValueError(f"retries is {retries}: give 0 to {MAX_RETRIES}")
        if root_certificates is not None and not tls:
            raise ValueError("root_certificates need tls=True")
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            raise ValueError("token must be printable ASCII, without a line's end")
        self.address = address
        self.timeout_seconds = timeout_seconds
        self.metadata: tuple[tuple[str, str], ...] = (
            () if token is None else (("authorization", f"Bearer {token}"),)
        )
        self.credentials = grpc.ssl_channel_credentials(root_certificates) if tls else None
        self.options = list((_options(retries) | dict(channel_options)).items())


def _options(retries: int) -> dict[str, str | int]:
    return {
        "grpc.service_config": json.dumps(_service_config(retries)),
        # A server that has just restarted should be found soon: by default, the second attempt
        # waits a second and later ones up to two minutes.
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 2_000,
        # A peer that vanished without a word is noticed, also by a stream that has no deadline.
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.http2.max_pings_without_data": 0,
        # A full batch of a model with many labels may pass grpc's 4 MiB.
        "grpc.max_receive_message_length": 64 << 20,
    }


def _service_config(retries: int) -> dict[str, object]:
    config: dict[str, object] = {
        # Over every address that the name has; the default keeps to the first one.
        "loadBalancingConfig": [{"round_robin": {}}],
        # Servers that start or end get no calls. One without health checks counts as healthy.
        "healthCheckConfig": {"serviceName": SERVICE},
    }
    if retries:
        policy = {
            "maxAttempts": retries + 1,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            # Where a server names a wait (grpc-retry-pushback-ms), grpc takes that one.
            "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
        }
        config["methodConfig"] = [{"name": [{"service": SERVICE}], "retryPolicy": policy}]
    return config
