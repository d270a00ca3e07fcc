"""What the kubelet does for a probe: ``probe.py grpc PORT SERVICE`` or ``probe.py tcp PORT ''``."""

from __future__ import annotations

import socket
import sys

TIMEOUT_SECONDS = 5.0


def main() -> None:
    """End with 0 if the probe succeeds."""
    kind, port, service = sys.argv[1:]
    if kind == "tcp":
        socket.create_connection(("127.0.0.1", int(port)), TIMEOUT_SECONDS).close()
        return
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_SECONDS)
    sys.exit(reply.status != health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    main()
