"""A server with a certificate of its own, which may want one of its callers."""

from __future__ import annotations

from pathlib import Path

import pytest
from valence_client import Unavailable

from tests.client import twins
from tests.support.certificates import Authority


async def test_certificate_that_is_trusted(kind: str, encrypted: str, authority: Authority) -> None:
    async with twins.opened(
        kind, encrypted, tls=True, root_certificates=authority.certificate, token="secret"
    ) as ask:
        assert (await ask.classify("good")).label == "POSITIVE"


async def test_certificate_that_is_not_trusted(kind: str, encrypted: str) -> None:
    async with twins.opened(kind, encrypted, tls=True, retries=0) as ask:
        with pytest.raises(Unavailable, match="signed by no authority that is trusted"):
            await ask.classify("good")


async def test_certificate_of_another_name(kind: str, named: str, authority: Authority) -> None:
    # Several addresses have no name that a certificate could have.
    addresses = [named]
    trusted = {"tls": True, "root_certificates": authority.certificate, "retries": 0}
    async with twins.opened(kind, addresses, **trusted) as ask:
        with pytest.raises(Unavailable, match=f"certificate of {addresses[0]} is for another name"):
            await ask.classify("good")
    async with twins.opened(kind, addresses, **trusted, server_name="localhost") as ask:
        assert (await ask.classify("good")).label == "POSITIVE"


async def test_certificate_of_the_caller(
    kind: str, guarded: str, authority: Authority, roots: Path, tmp_path: Path
) -> None:
    trusted = {"tls": True, "root_certificates": roots, "retries": 0}
    async with twins.opened(kind, guarded, **trusted) as ask:
        with pytest.raises(Unavailable, match="may require another client_certificate"):
            await ask.classify("good")
    shown = authority.pair("caller")
    certificate, key = map(Path, shown.write(tmp_path))
    pairs = (
        {"client_certificate": certificate, "client_key": key},
        {"client_certificate": shown.certificate, "client_key": shown.key},
    )
    for pair in pairs:
        async with twins.opened(kind, guarded, **trusted, **pair) as ask:
            assert (await ask.classify("good")).label == "POSITIVE"
