"""JSON schemas of the contract's messages in proto3's JSON, with the comments of the proto."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumDescriptorProto,
        FileDescriptorProto,
    )

Schema = dict[str, Any]

# The numbers of fields in descriptor.proto, of which the paths to comments are made.
_MESSAGES, _ENUMS, _SERVICES, _SYNTAX = 4, 5, 6, 12
_FIELDS, _ONEOFS, _VALUES, _METHODS = 2, 8, 2, 2

_SCALARS: dict[int, Schema] = {
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_BOOL: {"type": "boolean"},
}
_WELL_KNOWN: dict[str, Schema] = {
    ".google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?\d+(\.\d+)?s$",
        "examples": ["0.004s"],
    },
    ".google.rpc.Status": {"$ref": "#/components/schemas/Status"},
}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


class Contract:
    """The proto of the contract, read from its descriptor."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(location.path): location.leading_comments
            for location in file.source_code_info.location
        }

    @property
    def introduction(self) -> str:
        """The comment at the head of the file."""
        return self._comment(_SYNTAX)

    def calls(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield each unary call: its name, its comment, the messages of request and response."""
        for at, method in enumerate(self._file.service[0].method):
            if not method.client_streaming:
                comment = self._comment(_SERVICES, 0, _METHODS, at)
                yield method.name, comment, _short(method.input_type), _short(method.output_type)

    def schemas(self) -> dict[str, Schema]:
        """Return a schema for each message and each enum, by its name."""
        enums = {e.name: self._enum(e, at) for at, e in enumerate(self._file.enum_type)}
        messages = {m.name: self._message(m, at) for at, m in enumerate(self._file.message_type)}
        return enums | messages

    def _enum(self, enum: EnumDescriptorProto, at: int) -> Schema:
        values = "\n".join(
            f"- `{value.name}`: {self._comment(_ENUMS, at, _VALUES, number)}"
            for number, value in enumerate(enum.value)
        )
        return {
            "description": f"{self._comment(_ENUMS, at)}\n\n{values}",
            "type": "string",
            "enum": [value.name for value in enum.value],
        }

    def _message(self, message: DescriptorProto, at: int) -> Schema:
        schema: Schema = {"type": "object"}
        if comment := self._comment(_MESSAGES, at):
            schema = {"description": comment, **schema}
        required, properties = [], {}
        for number, field in enumerate(message.field):
            comment = self._comment(_MESSAGES, at, _FIELDS, number)
            properties[field.json_name] = {"description": comment, **_value(field)}
            # The comments say it, because proto3 has no word for it.
            if "Always set." in comment or "Required:" in comment:
                required.append(field.json_name)
        if properties:
            schema["properties"] = properties
        if required:
            schema["required"] = required
        for number in range(len(message.oneof_decl)):
            members = [f for f in message.field if f.HasField("oneof_index")]
            members = [f for f in members if f.oneof_index == number and not f.proto3_optional]
            if members:
                schema["oneOf"] = [{"required": [member.json_name]} for member in members]
        return schema

    def _comment(self, *path: int) -> str:
        """Return a comment as Markdown: paragraphs of one line, and tables as they stand."""
        blocks = self._comments.get(path, "").strip("\n").split("\n\n")
        return "\n\n".join(_block(block) for block in blocks)


def _block(block: str) -> str:
    lines = [line.rstrip() for line in block.strip("\n").splitlines()]
    if all(line.startswith("   ") for line in lines):
        return "\n".join(["```", *(line[3:] for line in lines), "```"])
    return " ".join(line.strip() for line in lines)


def _value(field: Field) -> Schema:
    if field.type == Field.TYPE_MESSAGE and field.type_name in _WELL_KNOWN:
        schema = _WELL_KNOWN[field.type_name]
    elif field.type in {Field.TYPE_MESSAGE, Field.TYPE_ENUM}:
        schema = ref(_short(field.type_name))
    else:
        schema = _SCALARS[field.type]
    if field.label == Field.LABEL_REPEATED:
        return {"type": "array", "items": schema}
    return dict(schema)


def _short(type_name: str) -> str:
    """Return the name of a message of the contract without its package."""
    return type_name.rpartition(".")[2]
