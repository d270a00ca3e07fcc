"""The forms of JSON: what each answers, and how it refuses."""

from __future__ import annotations

import asyncio
import base64
import gzip
from typing import Any

import httpx2 as httpx
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from valence_service.core.errors import Draining

from tests.support.classifier import POISON, SECRET
from tests.support.waiting import until
from tests.transports.http.conftest import CONNECT, Service, started

# Each form of one text: its path, and the field that holds the text.
FORMS = {"/analyze": "text", "/models/echo": "inputs", f"{CONNECT}/Classify": "text"}
forms = pytest.mark.parametrize("path", FORMS)


def body(path: str, text: object) -> dict[str, object]:
    return {FORMS[path]: text}


def reason(response: httpx.Response) -> str:
    """The reason in the error's details, as Connect packs it."""
    details: list[dict[str, Any]] = response.json()["details"]
    (info,) = (each for each in details if each["type"] == "google.rpc.ErrorInfo")
    packed = ErrorInfo.FromString(base64.b64decode(info["value"] + "=="))
    return str(packed.reason)


async def test_the_tutorials_form(service: Service) -> None:
    response = await service.post("/analyze", {"text": "good"})
    assert response.json() == {"label": "good", "score": 0.75}
    assert (await service.http.get("/")).json() == {"message": "AI Server is running"}


async def test_hugging_faces_form(service: Service) -> None:
    scores = [{"label": "good", "score": 0.75}, {"label": "NEGATIVE", "score": 0.25}]
    one = await service.post("/models/echo", {"inputs": "good"})
    assert one.json() == [scores]
    several = await service.post("/models/echo", {"inputs": ["good", "bad"]})
    assert [labels[0]["label"] for labels in several.json()] == ["good", "bad"]
    top = {"inputs": "good", "parameters": {"top_k": 1}}
    assert (await service.post("/models/echo", top)).json() == [scores[:1]]


async def test_a_document_in_plain_json_and_in_connects() -> None:
    text = "👨‍👩‍👧 good good. \r\nbad!"
    async with started(documents=True) as service:
        units = {"code_points": 4, "utf8_bytes": 1, "utf16_units": 2}
        encodings = {"code_points": "utf-32-le", "utf8_bytes": "utf-8", "utf16_units": "utf-16-le"}
        for unit, unit_bytes in units.items():
            request = {"text": text, "offset_unit": unit}
            document = (await service.post("/v1/document", request)).json()
            data = text.encode(encodings[unit])
            cut = [
                data[unit_bytes * each["begin"] : unit_bytes * each["end"]].decode(encodings[unit])
                for each in document["sentences"]
            ]
            assert cut == ["👨‍👩‍👧 good good.", "bad!"]
        plain = (await service.post("/v1/document", {"text": text})).json()
        connect = await service.post(f"{CONNECT}/ClassifyDocument", {"text": text})
        # Connect leaves out what has its default value.
        same = connect.json()["sentences"][1]["sentiment"].items()
        assert same <= plain["sentences"][1]["sentiment"].items()
        assert [each["sentiment"]["polarity"] for each in plain["sentences"]] == [
            "POLARITY_POSITIVE",
            "POLARITY_NEGATIVE",
        ]
        assert (plain["document"]["truncated"], plain["windows"]) == (False, 1)
        assert 0 < plain["mixed"] <= 1
        wrong = await service.post("/v1/document", {"text": text, "offset_unit": "words"})
        assert "code_points, utf8_bytes, utf16_units" in wrong.json()["message"]


async def test_connects_form(service: Service) -> None:
    response = await service.post(f"{CONNECT}/Classify", {"text": "good", "overlength": 1})
    sentiment = response.json()["sentiment"]
    assert (sentiment["label"], sentiment["model"]["name"]) == ("good", "echo")
    model = (await service.post(f"{CONNECT}/GetModel", {})).json()["model"]
    assert model["limits"]["maxBatchTexts"] == 4
    batch = await service.post(f"{CONNECT}/BatchClassify", {"texts": ["good", ""]})
    good, bad = batch.json()["results"]
    assert good["sentiment"]["label"] == "good"
    assert bad["error"]["message"].startswith("texts[1]: ")


@forms
@pytest.mark.parametrize("text", ["", " \n", "x" * 101, "\ud83d"])
async def test_a_bad_text_is_refused_with_its_field(service: Service, path: str, text: str) -> None:
    response = await service.post(path, body(path, text))
    assert response.status_code == 400
    error = response.json()
    assert error["code"] == "invalid_argument"
    assert reason(response) == "INVALID_FIELD"
    assert error["message"].startswith(f"{FORMS[path]}: ")


@forms
@pytest.mark.parametrize("value", [None, 3, True, {}, [3], [["a"]]])
async def test_a_text_of_another_type_is_refused(
    service: Service, path: str, value: object
) -> None:
    response = await service.post(path, body(path, value))
    assert (response.status_code, response.json()["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize("path", ["/analyze", "/models/echo"])
@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b'{"text": 1e', b"[" * 100_000, b"3"])
async def test_a_body_that_is_no_object_of_json(service: Service, path: str, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await service.http.post(path, content=raw, headers=headers)
    assert (response.status_code, reason(response)) == (400, "MALFORMED_MESSAGE")


async def test_a_body_that_is_declared_as_something_else(service: Service) -> None:
    response = await service.http.post("/analyze", data={"text": "good"})
    assert response.status_code == 415
    assert "content-type: application/json" in response.json()["message"]


async def test_one_bad_text_fails_the_call_of_hugging_faces_form(service: Service) -> None:
    response = await service.post("/models/echo", {"inputs": ["good", ""]})
    assert response.json()["message"].startswith("inputs[1]: ")
    none = await service.post("/models/echo", {"inputs": []})
    assert none.json()["message"].startswith("inputs: is empty")
    assert (await service.post("/models/echo", {})).json()["message"] == "inputs: is missing"
    wrong: tuple[object, ...] = (
        {"top_k": 0},
        {"top_k": True},
        {"function_to_apply": "no"},
        3,
        [],
        "",
    )
    for parameters in wrong:
        request = {"inputs": "good", "parameters": parameters}
        response = await service.post("/models/echo", request)
        assert response.status_code == 400
        assert response.json()["message"].startswith("parameters")
    other = await service.post("/models/other", {"inputs": "good"})
    assert (other.status_code, other.json()["code"]) == (404, "not_found")
    assert "'echo'" in other.json()["message"]


@forms
async def test_no_text_of_an_exception_reaches_the_client(service: Service, path: str) -> None:
    response = await service.post(path, body(path, POISON))
    assert (response.status_code, reason(response)) == (500, "MODEL_FAILED")
    assert SECRET not in response.text


@forms
async def test_before_the_model_is_there(path: str) -> None:
    async with started(opened=False) as service:
        response = await service.post(path, body(path, "good"))
        assert (response.status_code, reason(response)) == (503, "STARTING")
        assert (await service.http.get("/readyz")).status_code == 503
        assert (await service.http.get("/healthz")).status_code == 200
        assert (await service.http.get("/healthz")).json() == {"status": "alive"}


@forms
async def test_while_it_drains(service: Service, path: str) -> None:
    service.sentiment.refuse(Draining("the server is ending: call another one"))
    response = await service.post(path, body(path, "good"))
    assert (response.status_code, reason(response)) == (503, "DRAINING")


@forms
async def test_a_full_queue_says_when_to_come_back(service: Service, path: str) -> None:
    service.classifier.hold()
    async with asyncio.TaskGroup() as tasks:
        calls = [
            tasks.create_task(service.post(path, body(path, f"text {number}")))
            for number in range(40)
        ]
        await until(lambda: any(call.done() for call in calls))
        refused = next(call for call in calls if call.done()).result()
        service.classifier.release()
    assert (refused.status_code, reason(refused)) == (429, "OVERLOADED")
    assert int(refused.headers["retry-after"]) >= 1
    assert {call.result().status_code for call in calls} == {200, 429}


@forms
async def test_a_deadline_ends_the_call(service: Service, path: str) -> None:
    service.classifier.hold()
    response = await service.post(path, body(path, "good"), connect_timeout_ms="50")
    assert (response.status_code, reason(response)) in {
        (504, "DEADLINE_EXCEEDED"),
        (429, "OVERLOADED"),
    }


@pytest.mark.parametrize("path", [*FORMS, f"{CONNECT}/GetModel", "/v1/stream"])
async def test_no_time_at_all_is_too_little(service: Service, path: str) -> None:
    request = body(path, "good") if path in FORMS else {}
    response = await service.post(path, request, connect_timeout_ms="0")
    assert (response.status_code, reason(response)) == (504, "DEADLINE_EXCEEDED")


@forms
async def test_a_client_that_leaves_takes_its_text_along(service: Service, path: str) -> None:
    service.classifier.hold()
    first = asyncio.create_task(service.post(path, body(path, "first")))
    await service.classifier.started()
    second = asyncio.create_task(service.post(path, body(path, "second")))
    await until(lambda: service.batcher.queued_texts == 1)
    second.cancel()
    await until(lambda: service.batcher.queued_texts == 0)
    service.classifier.release()
    assert (await first).status_code == 200
    assert service.classifier.seen == ["first"]


async def test_every_answer_has_the_calls_id(service: Service) -> None:
    for path in FORMS:
        for text in ("good", ""):
            response = await service.post(path, body(path, text), x_request_id="mine")
            assert response.headers["x-request-id"] == "mine"
            assert (await service.post(path, body(path, text))).headers["x-request-id"]


async def test_a_path_that_is_not_here(service: Service) -> None:
    missing = await service.http.get("/missing")
    assert missing.status_code == 404
    assert "/analyze, /models/{name}, " in missing.json()["message"]
    wrong = await service.http.get("/analyze")
    assert (wrong.headers["allow"], wrong.json()["message"]) == ("POST", "/analyze takes POST")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "unimplemented")


async def test_a_path_that_is_nearly_right_leads_nowhere_else(service: Service) -> None:
    # A redirect would go wherever the header "host" says.
    for host in ("evil.example", "[", "a b"):
        for path in ("/analyze/", "/missing", "/docs/"):
            response = await service.http.get(path, headers={"host": host})
            assert response.status_code == 404
            assert response.json()["message"].startswith(f"{path} is not here: ")


async def test_plain_grpc_is_shown_its_own_port(service: Service) -> None:
    headers = {"content-type": "application/grpc"}
    response = await service.http.post(f"{CONNECT}/Classify", content=b"", headers=headers)
    assert response.status_code == 415
    assert "plain gRPC" in response.json()["message"]


async def test_a_content_type_that_is_not_taken(service: Service) -> None:
    for content_type in ("text/plain", "application/grpc;x", "application/connect+json"):
        headers = {"content-type": content_type}
        response = await service.http.post(f"{CONNECT}/Classify", content=b"", headers=headers)
        assert response.status_code == 415
        assert content_type.partition(";")[0] in response.json()["message"]


@forms
async def test_a_packed_body_is_refused(service: Service, path: str) -> None:
    # Unpacking many empty members takes connectrpc minutes.
    packed = gzip.compress(b"") * 10_000
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = await service.http.post(path, content=packed, headers=headers)
    assert response.status_code == (501 if path.startswith(CONNECT) else 415)
    assert "gzip" in response.json()["message"]


@pytest.mark.parametrize("path", [f"{CONNECT}/BatchClassify", "/models/echo"])
async def test_far_too_many_strings_are_not_parsed(service: Service, path: str) -> None:
    field = "inputs" if path == "/models/echo" else "texts"
    response = await service.post(path, {field: [""] * 100_000})
    assert (response.status_code, reason(response)) == (400, "MALFORMED_MESSAGE")
    quotes = {field: ['","' * 20]}  # one text all the same
    assert (await service.post(path, quotes)).status_code == 200


async def test_a_stream_of_connect_is_shown_the_lines_of_json(service: Service) -> None:
    for content_type in ("application/connect+json", "application/json"):
        headers = {"content-type": content_type}
        response = await service.http.post(
            f"{CONNECT}/StreamClassify", content=b"", headers=headers
        )
        assert b"/v1/stream" in response.content
        assert b"unimplemented" in response.content


@pytest.mark.parametrize("origins", [(), ("https://ours.example",), ("*",)])
async def test_pages_of_other_origins(origins: tuple[str, ...]) -> None:
    async with started(origins=origins) as service:
        for origin in ("https://ours.example", "https://other.example"):
            # As a browser sends them, for a page that sends a plain text; the second header only
            # to TLS and to its own machine.
            for more in ({"sec-fetch-site": "cross-site"}, {}):
                headers = {"origin": origin} | more
                response = await service.http.post("/v1/stream", content="'good'", headers=headers)
                may = "*" in origins or origin in origins
                assert response.status_code == (200 if may else 403)
                allowed = response.headers.get("access-control-allow-origin")
                assert allowed in ({origin, "*"} if may else {None})


async def test_the_pages_of_the_port_itself(service: Service) -> None:
    for more in ({"sec-fetch-site": "same-origin"}, {}):
        headers = {"origin": f"http://{service.address}"} | more
        response = await service.http.post("/v1/stream", content='"good"', headers=headers)
        assert '"answered": 1' in response.text
