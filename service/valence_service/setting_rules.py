"""What goes together among the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valence_service.setting_errors import SettingsError
from valence_service.transports.address import is_loopback
from valence_service.transports.unix_socket import socket_path

if TYPE_CHECKING:
    from valence_service.settings import Settings


def check_together(settings: Settings) -> None:
    """Raise SettingsError for settings that contradict each other."""
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise SettingsError("--tls-certificate and --tls-key go together: give both")
    if settings.tls_client_ca and not settings.tls_certificate:
        raise SettingsError("--tls-client-ca needs --tls-certificate and --tls-key")
    hosts = {"--host": settings.host, "--http-host": settings.http_host}
    for flag, host in hosts.items():
        if settings.tls_certificate or settings.insecure or is_loopback(host):
            continue
        raise SettingsError(
            f"{flag} {host} lets other machines connect, and in plaintext anyone on the "
            "way reads along: give --tls-certificate and --tls-key, or say --insecure"
        )
    if settings.revision and not settings.model:
        raise SettingsError("--revision is of a model on the hub: name it with --model")
    if "metrics_host" in settings.model_fields_set and settings.metrics_port is None:
        raise SettingsError("--metrics-host needs --metrics-port: without it there are no metrics")
    if {
        "http_host",
        "http_allowed_origins",
    } & settings.model_fields_set and settings.http_port is None:
        raise SettingsError(
            "--http-host and --http-allowed-origins need --http-port: without it there is no HTTP"
        )
    if not settings.token_file and (settings.public_reflection or not settings.public_health):
        raise SettingsError(
            "--public-reflection and --no-public-health need --token-file: without tokens "
            "health and reflection are open"
        )
    if settings.processes != 1 and socket_path(settings.host):
        raise SettingsError(
            "--processes share a port, and a unix socket has one owner: give --host an address, or "
            "leave --processes 1"
        )
