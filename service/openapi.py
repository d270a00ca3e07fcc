"""Make the OpenAPI document of the HTTP port from the contract's descriptor.

    python service/openapi.py build/protos/image.binpb

With --check, write nothing, and exit with 1 if the document is out of date.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from openapi_schemas import Contract, Schema, ref

SERVICE = Path(__file__).parent
TARGET = SERVICE / "valence_service/transports/http/static/openapi.json"
PROTO = "valence/v1/sentiment.proto"
PACKAGE_PATH = "/valence.v1.SentimentService"

INTRODUCTION = """
The calls of the contract take and return proto3's JSON by the Connect protocol: names are in
camelCase, a duration is a string such as "0.004s", and a field with its default value (0, false, an
empty string) may be absent. These paths also take Connect's binary form and gRPC-Web.
"""
CODES = (
    *("canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found"),
    *("permission_denied", "resource_exhausted", "unimplemented", "internal", "unavailable"),
    "unauthenticated",
)
STATUSES = {
    400: "A field breaks a rule, or the body cannot be read.",
    401: "The token is missing or invalid.",
    404: "No model of that name is served.",
    408: "The whole body did not come within a minute.",
    413: "The body is too large.",
    415: "The content type is none that this path takes.",
    429: "The queue is full, the answer would come after the deadline, or the message is too large.",
    500: "The model failed on this text, or the server is at fault.",
    503: "The model is loading or does not work, or the server is ending.",
    504: "The deadline passed before the answer.",
}
CALL = (400, 401, 415, 429, 500, 503, 504)
JSON_CALL = (400, 401, 408, 413, 415, 429, 500, 503, 504)
REQUEST_HEADERS = ("RequestId", "Timeout")
TEXT = "I loved every minute of it"
EXAMPLES = {
    "Classify": {"text": TEXT},
    "BatchClassify": {"texts": [TEXT, "The food was cold."]},
    "GetModel": {},
}


def document(contract: Contract) -> Schema:
    """Return the whole document."""
    project = tomllib.loads((SERVICE / "pyproject.toml").read_text())["project"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Valence",
            "version": project["version"],
            "summary": "Sentiment of texts over HTTP.",
            "description": f"{contract.introduction}\n\n{_line(INTRODUCTION)}",
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": ".", "description": "The server of this document."}],
        "security": [{}, {"bearer": []}],
        "tags": [
            {"name": "Calls", "description": "The contract valence.v1, by Connect."},
            {"name": "JSON", "description": "Other forms of the same calls."},
            {"name": "Server", "description": "Health and pages. These need no token."},
        ],
        "paths": {
            **{f"{PACKAGE_PATH}/{name}": _call(name, *rest) for name, *rest in contract.calls()},
            "/v1/stream": _stream(),
            "/analyze": _analyze(),
            "/models/{name}": _models(),
            "/healthz": _get("healthz", "The process runs.", {200: ("It runs.", ref("Health"))}),
            "/readyz": _get(
                "readyz",
                "The server takes calls.",
                {
                    200: ("It takes calls.", ref("Health")),
                    503: ("The model is loading or does not work, or the server is ending.",)
                    + (ref("Health"),),
                },
            ),
            "/": _page("page", "A page that classifies texts."),
            "/docs": _page("docs", "This document as a page."),
            "/openapi.json": _get(
                "openapi", "This document.", {200: ("The document.", {"type": "object"})}
            ),
        },
        "components": _components(contract),
    }


def _call(name: str, comment: str, request: str, response: str) -> Schema:
    return _post(
        name,
        "Calls",
        comment,
        body={"schema": ref(request), "example": EXAMPLES[name]},
        answer={"schema": ref(response)},
        errors=CALL,
    )


def _analyze() -> Schema:
    answer = {"schema": ref("LabelScore"), "example": {"label": "POSITIVE", "score": 0.99}}
    return _post(
        "analyze",
        "JSON",
        "One text, its top label. The model truncates a text that is too long.",
        body={"schema": _object(text=ref("Text")), "example": {"text": TEXT}},
        answer=answer,
        errors=JSON_CALL,
    )


def _models() -> Schema:
    scores = {"type": "array", "items": ref("LabelScore")}
    texts = {"type": "array", "items": ref("Text"), "minItems": 1}
    top_k = {
        "description": "The number of labels to return. All, if it is absent.",
        "type": ["integer", "null"],
        "minimum": 1,
    }
    inputs = {"description": "One text, or several.", "oneOf": [ref("Text"), texts]}
    body = _object(inputs=inputs)
    body["properties"]["parameters"] = {"type": "object", "properties": {"top_k": top_k}}
    operation = _post(
        "infer",
        "JSON",
        "One text or several, every label of each: the form of Hugging Face's servers. If one "
        "text has an error, the call fails with it.",
        body={"schema": body, "example": {"inputs": [TEXT]}},
        answer={"schema": {"type": "array", "items": scores}},
        errors=(*JSON_CALL, 404),
    )
    operation["parameters"] = [
        {
            "name": "name",
            "in": "path",
            "required": True,
            "description": "The name of the model that is served. It may have slashes.",
            "schema": {"type": "string"},
        }
    ]
    return operation


def _stream() -> Schema:
    operation = _post(
        "stream",
        "JSON",
        "Any number of texts as lines of JSON. Each line gets one line, and the last line says "
        "whether the stream is complete. The server answers while it reads.",
        body=_lines(ref("StreamLine"), json.dumps({"id": "a", "text": TEXT})),
        answer=_lines({"oneOf": [ref("StreamResult"), ref("StreamEnd")]}),
        errors=(400, 401, 503),
        media_type="application/x-ndjson",
    )
    for name in ("Overlength", "Order"):
        operation["post"]["parameters"].append({"$ref": f"#/components/parameters/{name}"})
    return operation


def _lines(schema: Schema, example: str | None = None) -> Schema:
    media = "application/x-ndjson"
    of_a_line = {"type": "string", "contentMediaType": media, "contentSchema": schema}
    return {"schema": of_a_line} | ({"example": f"{example}\n"} if example else {})


def _post(
    name: str,
    tag: str,
    description: str,
    *,
    body: Schema,
    answer: Schema,
    errors: tuple[int, ...],
    media_type: str = "application/json",
) -> Schema:
    responses: Schema = {
        "200": {
            "description": "The answer.",
            "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
            "content": {media_type: answer},
        }
    }
    responses |= {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)
    }
    operation = {
        "operationId": name,
        "tags": [tag],
        "summary": description.partition(". ")[0].rstrip(".") + ".",
        "description": description,
        "parameters": [{"$ref": f"#/components/parameters/{header}"} for header in REQUEST_HEADERS],
        "requestBody": {"required": True, "content": {media_type: body}},
        "responses": responses,
    }
    return {"post": operation}


def _get(name: str, summary: str, answers: dict[int, tuple[str, Schema]]) -> Schema:
    responses = {
        str(status): {
            "description": description,
            "content": {"application/json": {"schema": schema}},
        }
        for status, (description, schema) in answers.items()
    }
    operation = {"operationId": name, "tags": ["Server"], "summary": summary, "security": []}
    return {"get": operation | {"responses": responses}}


def _page(name: str, summary: str) -> Schema:
    path = _get(name, summary, {200: ("The page.", {})})
    path["get"]["responses"]["200"]["content"] = {"text/html": {"schema": {"type": "string"}}}
    if name == "page":
        greeting = {"schema": _object(message={"type": "string"})}
        path["get"]["description"] = "A client that does not accept text/html gets a greeting."
        path["get"]["responses"]["200"]["content"]["application/json"] = greeting
    return path
