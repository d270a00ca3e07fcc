"""Check an address, and name it as gRPC does."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import TypeAlias

Address: TypeAlias = str | Sequence[str]

# What gRPC resolves by itself; any other word before a colon is a host.
_RESOLVERS = ("dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds", "google-c2p")
_MAX_PORT = 65535
# The kernel has room for no more, and a zero byte.
_MAX_UNIX_PATH_BYTES = 107


def target_of(address: Address) -> str:
    """Return gRPC's name for the address, or for several as one target. Raise ValueError."""
    if isinstance(address, str):
        return _one(address)
    families: set[int] = set()
    for each in address:
        host, _, port = each.rpartition(":")
        try:
            families.add(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).version)
        except ValueError:
            raise ValueError(
                f"address has {each!r}: where there are several, each is an IP address and a port; "
                "for a name that has several, give dns:///name:port alone"
            ) from None
        _check_port("has", each, port)
    if len(families) != 1:
        raise ValueError("address: give at least one, and IPv4 or IPv6 addresses, not both")
    return f"ipv{families.pop()}:{','.join(address)}"


def bypasses_proxies(address: Address) -> bool:
    """Return whether no proxy can help: a proxy's loopback is another machine's.

    With several addresses gRPC would ask the proxy for all of them at once (grpc/grpc#40366).
    """
    if not isinstance(address, str):
        return True
    bare = re.sub(r"^(dns:(///)?|ipv[46]:)", "", address)
    host = bare.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _one(address: str) -> str:
    if not address or not address.isprintable() or " " in address:
        raise _wrong(address, "give host:port, without blanks")
    scheme, _, rest = address.partition(":")
    if scheme in _RESOLVERS:
        return _resolvable(address, scheme, rest)
    if rest.startswith("//"):
        tls = ", and tls=True" if scheme.lower() in ("https", "grpcs") else ""
        raise _wrong(address, f"give host:port without {scheme}://{tls}")
    if "/" in address:
        raise _wrong(address, "give host:port, without a path")
    host, colon, port = address.rpartition(":")
    if not colon:
        raise _wrong(address, f"give the port too, such as {address}:50051")
    if not host:
        raise _wrong(address, f"give the host too, such as 127.0.0.1:{port}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise _wrong(address, "write an IPv6 address in brackets, and the port: [::1]:50051")
    _check_port("is", address, port)
    return address


def _resolvable(address: str, scheme: str, rest: str) -> str:
    """Return an address that names its resolver. Raise ValueError for what gRPC does not say."""
    if scheme == "dns" and rest.startswith("//") and "/" not in rest[2:]:
        raise _wrong(address, f"write dns:///{rest[2:]}")
    if scheme == "unix":
        path = rest.removeprefix("//")
        if not path or (rest.startswith("//") and not path.startswith("/")):
            raise _wrong(address, "write unix:path, or unix:///path with the whole path")
        if len(path.encode()) > _MAX_UNIX_PATH_BYTES:
            raise _wrong(address, f"give a path of at most {_MAX_UNIX_PATH_BYTES} bytes")
    return address


def _check_port(verb: str, address: str, port: str) -> None:
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _MAX_PORT):
        raise ValueError(f"address {verb} {address!r}: give a port from 1 to {_MAX_PORT}")


def _wrong(address: str, instead: str) -> ValueError:
    return ValueError(f"address is {address!r}: {instead}")
