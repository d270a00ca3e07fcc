"""The OpenAPI document is made from the proto, has every path, and is true of the answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2 as httpx
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from starlette.routing import Route
from valence_service.core.call import Telemetry
from valence_service.core.readiness import Readiness
from valence_service.serving.service import SentimentService
from valence_service.transports.http.app import make_app
from valence_service.transports.http.bodies import Bodies
from valence_service.transports.http.calls import TIMEOUT, Gate
from valence_service.transports.http.pages import STATIC

from tests.docs.documents import ROOT
from tests.support.classifier import POISON
from tests.transports.grpc.conftest import LIMITS
from tests.transports.http.conftest import CONNECT, Service, started

API: dict[str, Any] = json.loads((STATIC / "openapi.json").read_text())
JSON = "application/json"
NDJSON = "application/x-ndjson"
# Paths, bodies, and the status that each gets.
CALLS = [
    (f"{CONNECT}/Classify", '{"text": "good"}', 200),
    (f"{CONNECT}/Classify", '{"text": " "}', 400),
    (f"{CONNECT}/Classify", "{", 400),
    (f"{CONNECT}/Classify", f'{{"text": "{POISON}"}}', 500),
    (f"{CONNECT}/BatchClassify", f'{{"texts": ["good", "", "{POISON}"]}}', 200),
    (f"{CONNECT}/BatchClassify", "{}", 400),
    (f"{CONNECT}/ClassifyDocument", '{"text": "good. bad!", "offsetUnit": 2}', 200),
    (f"{CONNECT}/GetModel", "{}", 200),
    ("/v1/document", '{"text": "good. bad!", "offset_unit": "utf8_bytes"}', 200),
    ("/v1/document", '{"text": "good", "offset_unit": "words"}', 400),
    ("/analyze", '{"text": "good"}', 200),
    ("/analyze", '{"text": 1}', 400),
    ("/analyze", f'{{"text": "{POISON}"}}', 500),
    ("/models/echo", '{"inputs": "good"}', 200),
    ("/models/echo", '{"inputs": ["good", "bad"], "parameters": {"top_k": 1}}', 200),
    ("/models/other", '{"inputs": "good"}', 404),
    ("/v1/stream", '"good"\n{"id": "a", "text": "bad"}\n{"id": 1}\n', 200),
    ("/v1/stream?order=best", '"good"\n', 400),
]
PAGES = ("/healthz", "/readyz", "/", "/docs", "/openapi.json")


def test_it_is_what_the_proto_makes(tmp_path: Path) -> None:
    protos = ROOT / ".venv-protos"
    (common,) = protos.glob("lib/python*/site-packages")
    image = tmp_path / "image.binpb"
    protoc = [f"{protos}/bin/python", "-m", "grpc_tools.protoc", "--include_source_info"]
    paths = [f"--proto_path={ROOT}/protos", f"--proto_path={common}"]
    names = [f"--descriptor_set_out={image}", "valence/v1/sentiment.proto"]
    subprocess.run([*protoc, *paths, *names], check=True)

    subprocess.run([sys.executable, ROOT / "service/openapi.py", "--check", image], check=True)


def test_it_is_valid() -> None:
    validate(API)


def test_it_has_every_path_of_the_port() -> None:
    service = SentimentService(LIMITS, window_texts=1)
    app = make_app(
        service, Readiness(), Gate(Telemetry(), None, Bodies(1)), origins=(), public_health=True
    )
    routes = [route for route in app.routes if isinstance(route, Route) and route.include_in_schema]
    paths = {route.path.replace(":path}", "}") for route in routes}
    # Connect's streams are refused: /v1/stream has them.
    assert set(API["paths"]) == paths - {f"{CONNECT}/StreamClassify"}


async def test_answers_are_as_it_says(service: Service) -> None:
    for path, content, status in CALLS:
        media_type = NDJSON if "stream" in path else JSON
        headers = {"content-type": media_type}
        response = await service.http.post(path, content=content, headers=headers)
        assert response.status_code == status, path
        check(response)
    for path in PAGES:
        check(await service.http.get(path))


async def test_refusals_are_as_it_says(service: Service) -> None:
    for path in (f"{CONNECT}/Classify", "/analyze"):
        for name, value, status in (("content-type", "text/plain", 415), (TIMEOUT, "0", 504)):
            headers = {"content-type": JSON, name: value}
            response = await service.http.post(path, content='{"text": "good"}', headers=headers)
            assert response.status_code == status, path
            check(response)


async def test_refusals_while_the_model_loads_are_as_it_says() -> None:
    async with started(opened=False) as service:
        responses = [
            await service.post(path, {"text": "good"})
            for path in (f"{CONNECT}/GetModel", "/analyze", "/v1/stream")
        ]
        responses.append(await service.http.get("/readyz"))
    for response in responses:
        assert response.status_code == 503, response.url
        check(response)


def check(response: httpx.Response) -> None:
    """Assert that the document has the status, the headers and the body of a response."""
    path = response.request.url.path
    path = "/models/{name}" if path.startswith("/models/") else path
    operation = API["paths"][path][response.request.method.lower()]
    told = follow(operation["responses"][str(response.status_code)])
    for name, header in told.get("headers", {}).items():
        assert name in response.headers or not follow(header).get("required")
    if "content" not in told:
        assert response.content == b""
        return
    media_type = response.headers["content-type"].partition(";")[0]
    schema = told["content"][media_type]["schema"]
    if media_type == NDJSON:
        for line in response.text.splitlines():
            hold(json.loads(line), schema["contentSchema"])
    else:
        hold(response.json() if media_type == JSON else response.text, schema)


def follow(value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found = API
    for name in value["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def hold(value: object, schema: dict[str, Any]) -> None:
    """Assert that a value is of a schema, and that the schema has all of its fields."""
    if schema == {"type": "object"}:  # the document itself
        assert value == API
        return
    OAS31Validator(closed({**schema, "components": API["components"]})).validate(value)


def closed(schema: Any) -> Any:
    """Return a schema that allows no field but those that it names."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    # A field may be called "properties"; a schema with properties has a type.
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        inner.setdefault("additionalProperties", False)
    return inner
