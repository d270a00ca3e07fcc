"""Make the OpenAPI document of the HTTP port, from openapi.yaml and the descriptors of the proto.

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
from typing import TYPE_CHECKING, Any

import yaml
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumDescriptorProto,
        FileDescriptorProto,
    )

Schema = dict[str, Any]

SERVICE = Path(__file__).parent
TARGET = SERVICE / "valence_service/transports/http/static/openapi.json"
PROTO = "valence/v1/sentiment.proto"
# The numbers of fields in descriptor.proto: the paths to comments are made of them.
SYNTAX, MESSAGES, ENUMS, SERVICES = 12, 4, 5, 6
FIELDS, VALUES, METHODS = 2, 2, 2
SCALARS: dict[int, Schema] = {
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_BOOL: {"type": "boolean"},
}
WELL_KNOWN: dict[str, Schema] = {
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"},
}


class Contract:
    """The proto, with its comments, in the terms of OpenAPI."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(location.path): location.leading_comments
            for location in file.source_code_info.location
        }

    @property
    def introduction(self) -> str:
        """The comment at the head of the file."""
        return self._comment(SYNTAX)

    def operations(self, call: Schema, examples: Schema) -> Iterator[tuple[str, Schema]]:
        """Yield a path and its operation, made of ``call``, for each unary call."""
        service = self._file.service[0]
        for at, method in enumerate(service.method):
            if method.client_streaming or method.server_streaming:
                continue
            comment = self._comment(SERVICES, 0, METHODS, at)
            summary, _, rest = comment.partition(". ")
            request = {"schema": _ref(method.input_type), "example": examples[method.name]}
            answer = {
                "description": "The answer.",
                "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
                "content": {"application/json": {"schema": _ref(method.output_type)}},
            }
            operation = {
                "operationId": method.name,
                "summary": summary.rstrip(".") + ".",
                **({"description": rest} if rest else {}),
                **call,
                "requestBody": {"required": True, "content": {"application/json": request}},
                "responses": {"200": answer, **call["responses"]},
            }
            yield f"/{self._file.package}.{service.name}/{method.name}", {"post": operation}

    def schemas(self) -> dict[str, Schema]:
        """Return a schema for each message and each enum, by its name."""
        messages = {m.name: self._message(m, at) for at, m in enumerate(self._file.message_type)}
        enums = {e.name: self._enum(e, at) for at, e in enumerate(self._file.enum_type)}
        # A stream's messages have another form over HTTP.
        return {n: s for n, s in (messages | enums).items() if not n.startswith("Stream")}

    def _enum(self, enum: EnumDescriptorProto, at: int) -> Schema:
        values = "\n".join(
            f"- `{value.name}`: {self._comment(ENUMS, at, VALUES, number)}"
            for number, value in enumerate(enum.value)
        )
        return {
            "description": f"{self._comment(ENUMS, at)}\n\n{values}",
            "type": "string",
            "enum": [value.name for value in enum.value],
        }

    def _message(self, message: DescriptorProto, at: int) -> Schema:
        schema: Schema = {"type": "object"}
        if comment := self._comment(MESSAGES, at):
            schema["description"] = comment
        required, choices = [], []
        for number, field in enumerate(message.field):
            comment = self._comment(MESSAGES, at, FIELDS, number)
            value = {"description": comment, **_value(field)}
            schema.setdefault("properties", {})[field.json_name] = value
            # proto3 itself cannot say this, so the comments do.
            if "Always set." in comment or "Required:" in comment:
                required.append(field.json_name)
            if field.HasField("oneof_index") and not field.proto3_optional:
                choices.append(field.json_name)
        if required:
            schema["required"] = required
        if choices:
            schema["oneOf"] = [{"required": [choice]} for choice in choices]
        return schema

    def _comment(self, *path: int) -> str:
        """Return a comment as Markdown: each paragraph in one line, tables as they stand."""
        paragraphs = self._comments.get(path, "").strip("\n").split("\n\n")
        return "\n\n".join(_markdown(paragraph) for paragraph in paragraphs)


def _markdown(paragraph: str) -> str:
    lines = paragraph.splitlines()
    if lines and all(line.startswith("   ") for line in lines):
        return "\n".join(["```", *(line[3:] for line in lines), "```"])
    return " ".join(line.strip() for line in lines)


def _value(field: Field) -> Schema:
    if field.type in {Field.TYPE_MESSAGE, Field.TYPE_ENUM}:
        schema = WELL_KNOWN.get(field.type_name) or _ref(field.type_name)
    else:
        schema = SCALARS[field.type]
    if field.label == Field.LABEL_REPEATED:
        return {"type": "array", "items": schema}
    return schema


def _ref(type_name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{type_name.rpartition('.')[2]}"}


def document(descriptors: FileDescriptorSet) -> Schema:
    """Return the document."""
    contract = Contract(next(file for file in descriptors.file if file.name == PROTO))
    project = tomllib.loads((SERVICE / "pyproject.toml").read_text())["project"]
    made: Schema = yaml.safe_load((SERVICE / "openapi.yaml").read_text())
    call, examples = made.pop("x-call"), made.pop("x-examples")
    del made["x-headers"]
    made["info"]["version"] = project["version"]
    made["info"]["description"] = f"{contract.introduction}\n\n{made['info']['description']}"
    made["paths"] = {**dict(contract.operations(call, examples)), **made["paths"]}
    made["components"]["schemas"] = {**contract.schemas(), **made["components"]["schemas"]}
    return made


def main() -> None:
    """Write the document, or check it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, help="the descriptors, with their comments")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    descriptors = FileDescriptorSet.FromString(arguments.image.read_bytes())
    made = json.dumps(document(descriptors), indent=1, ensure_ascii=False) + "\n"
    if not arguments.check:
        TARGET.write_text(made)
    elif made != (there := TARGET.read_text()):
        diff = difflib.unified_diff(
            there.splitlines(keepends=True), made.splitlines(keepends=True), TARGET.name, "made"
        )
        sys.stderr.writelines(diff)
        sys.exit(f"{TARGET} is out of date: run 'make protos'")


if __name__ == "__main__":
    main()
