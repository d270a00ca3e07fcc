"""JSON that a lenient parser would take for something else, and headers that are no text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from valence_service.core.call import Telemetry

from tests.transports.http.conftest import CONNECT, Service, started
from tests.transports.http.test_forms import FORMS, forms, reason

JSON = {"content-type": "application/json"}


async def post(service: Service, path: str, body: str | bytes, **headers: bytes) -> Any:
    """Send a body as it is; FIELD in it stands for the field that holds the text."""
    if isinstance(body, str):
        body = body.encode()
    body = body.replace(b"FIELD", FORMS[path].encode())
    names = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return await service.http.post(
        path, content=body, headers=[(b"content-type", b"application/json"), *names]
    )


@forms
async def test_a_key_that_is_there_twice_is_refused(service: Service, path: str) -> None:
    for body in (
        '{"FIELD": "good", "FIELD": "bad"}',
        '{"FIELD": "good", "more": [{"FIELD": 1, "FIELD": 2}]}',
    ):
        response = await post(service, path, body)
        assert (response.status_code, reason(response)) == (400, "MALFORMED_MESSAGE")
        assert f"the key '{FORMS[path]}' twice" in response.json()["message"]


@forms
async def test_many_keys_that_are_there_twice_cost_little(service: Service, path: str) -> None:
    keys = ",".join(f'"{number}":{number}' for number in range(20_000))
    response = await post(service, path, f"{{{keys},{keys}}}")
    assert reason(response) == "MALFORMED_MESSAGE"


@forms
@pytest.mark.parametrize(
    "encoded",
    [
        '{"FIELD": "good"}'.encode("utf-16"),
        '{"FIELD": "good"}'.encode("utf-32-le"),
        '{"FIELD": "é"}'.encode("latin-1"),
        b'{"FIELD": NaN}',
        b'{"FIELD": "good", "more": -Infinity}',
        b'{"FIELD": "good"} {}',
        b'{"FIELD": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(7),
)
async def test_only_json_in_utf8_is_taken(service: Service, path: str, encoded: bytes) -> None:
    response = await post(service, path, encoded)
    assert (response.status_code, reason(response)) == (400, "MALFORMED_MESSAGE")
    assert response.json()["message"] == "the body is not JSON in UTF-8"


@forms
async def test_a_byte_order_mark_is_no_part_of_the_text(service: Service, path: str) -> None:
    response = await post(service, path, b"\xef\xbb\xbf" + b'{"FIELD": "good"}')
    assert response.status_code == 200
    assert service.classifier.seen == ["good"]


@forms
async def test_a_key_that_is_no_unicode_breaks_nothing(service: Service, path: str) -> None:
    for body in (
        '{"FIELD": "good", "\\ud800": 1}',
        '{"FIELD": "good", "parameters": {"\\ud800": 1}}',
        '{"\\ud800": 1, "\\ud800": 2}',
        '{"\\ud800": 1}',
    ):
        response = await post(service, path, body)
        assert response.status_code == 200 or reason(response) in {
            "INVALID_FIELD",
            "MALFORMED_MESSAGE",
        }


async def test_a_name_that_an_enum_does_not_have_is_refused(service: Service) -> None:
    names = ("REJECT", "overlength_reject", "", "\\ud800", "1.5")
    for wrong in (*(f'"{name}"' for name in names), "1.5", "true", "[]", "{}"):
        body = f'{{"text": "good", "overlength": {wrong}}}'
        response = await post(service, f"{CONNECT}/Classify", body)
        assert (response.status_code, reason(response)) == (400, "INVALID_FIELD")
        assert "none of OVERLENGTH_UNSPECIFIED, " in response.json()["message"]
    for value in ('"OVERLENGTH_REJECT"', "1", '"1"', "null"):
        body = f'{{"text": "good", "overlength": {value}}}'
        assert (await post(service, f"{CONNECT}/Classify", body)).status_code == 200


async def test_the_field_at_fault_is_named(service: Service) -> None:
    for method, body, field in (
        ("Classify", '{"text": "good", "overlength": 99999999999}', "overlength"),
        ("Classify", '{"text": ["good"]}', "text"),
        ("BatchClassify", '{"texts": "good"}', "texts"),
        ("BatchClassify", '{"texts": ["good", 5]}', "texts"),
        ("BatchClassify", '{"texts": ["good", null]}', "texts"),
    ):
        headers = JSON
        response = await service.http.post(f"{CONNECT}/{method}", content=body, headers=headers)
        assert (response.status_code, reason(response)) == (400, "INVALID_FIELD")
        assert response.json()["message"].startswith(f"{field}: ")


@forms
async def test_headers_that_are_no_utf8_are_no_fault(service: Service, path: str) -> None:
    for name in ("x_more", "x_request_id", "traceparent", "authorization", "user_agent"):
        response = await post(service, path, '{"FIELD": "good"}', **{name: b"\xe9\xff"})
        assert response.status_code == 200


@forms
async def test_a_timeout_that_cannot_be_read_is_refused(path: str) -> None:
    ended: list[str] = []

    class Meter:
        def ended(self, method: str, code: str, seconds: float) -> None:
            ended.append(code)

        def refused(self, reason: str) -> None:
            pass

    async with started(telemetry=Telemetry(meter=Meter())) as service:
        timeouts = (b"soon", b"-5", b"1.5", b"12345678901", b"", "\u0665".encode(), b"\xff")
        for given in timeouts:
            response = await post(service, path, '{"FIELD": "good"}', connect_timeout_ms=given)
            assert (response.status_code, reason(response)) == (400, "INVALID_FIELD"), given
            assert response.json()["message"].startswith("connect-timeout-ms: ")
        assert set(ended) - {"DEADLINE_EXCEEDED", "OK"} == {"INVALID_ARGUMENT"}
        well = await post(service, path, '{"FIELD": "good"}', connect_timeout_ms=b"9999999999")
        assert well.status_code == 200


async def test_what_connectrpc_refuses_by_itself_is_counted_so() -> None:
    ended: list[str] = []

    class Meter:
        def ended(self, method: str, code: str, seconds: float) -> None:
            ended.append(code)

        def refused(self, reason: str) -> None:
            pass

    async with started(telemetry=Telemetry(meter=Meter())) as service:
        path = f"{CONNECT}/Classify"
        headers = JSON | {"connect-protocol-version": "2"}
        response = await service.http.post(path, content=json.dumps({}), headers=headers)
        assert (response.status_code, ended) == (400, ["INVALID_ARGUMENT"])
