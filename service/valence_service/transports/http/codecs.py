"""The messages of Connect and gRPC-Web, in Protocol Buffers' binary form and in its JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, cast

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from google.protobuf import json_format
from google.protobuf.message import Message
from protobuf.wkt import Any as PackedDetail

from valence_service.core.call import current_call
from valence_service.core.errors import InvalidField, MalformedMessage, ValenceError
from valence_service.transports.http.errors import code_name
from valence_service.transports.http.json_text import parse_object, shown
from valence_service.transports.status import status_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.rpc.status_pb2 import Status

    from valence_service.transports.http.calls import HttpCall

M = TypeVar("M", bound=Message)
# JSON takes the number of an enum's value too, in a string as well.
_NUMBER = re.compile(r"-?[0-9]{1,10}")


class BinaryCodec:
    """Protocol Buffers, as the contract's stubs have them."""

    def name(self) -> str:
        """Return its part of the content type."""
        return "proto"

    def encode(self, message: Message) -> bytes:
        """Return the bytes of a message."""
        return message.SerializeToString()

    def decode(self, data: bytes | bytearray, message_class: type[M]) -> M:
        """Return the message of these bytes. Raise ConnectError, as the contract words it."""
        try:
            return message_class.FromString(bytes(data))
        except Exception:  # its text is not for the client
            name = message_class.DESCRIPTOR.full_name
            raise _refused(MalformedMessage(f"the {len(data)} bytes are not a {name}")) from None


class JsonCodec:
    """Protocol Buffers' own JSON. Fields that the contract does not have are ignored."""

    def __init__(self, max_texts: int) -> None:
        self._max_texts = max_texts

    def name(self) -> str:
        """Return its part of the content type."""
        return "json"

    def encode(self, message: Message) -> bytes:
        """Return the JSON of a message."""
        return json_format.MessageToJson(message, indent=None).encode()

    def decode(self, data: bytes | bytearray, message_class: type[M]) -> M:
        """Return the message of this JSON. Raise ConnectError, as the contract words it."""
        try:
            value = parse_object(data, self._max_texts)
            _check_enums(value, message_class)
            return _message(value, message_class)
        except Exception as error:
            raise _refused(error) from None


def http_call() -> HttpCall:
    """Return the call that this task works for."""
    return cast("HttpCall", current_call())


def packed_details(status: Status) -> list[PackedDetail]:
    """Return the details of a status as connectrpc takes them."""
    return [PackedDetail(type_url=d.type_url, value=d.value) for d in status.details]


def _refused(error: Exception) -> ConnectError:
    status = status_of(http_call().fail(error))
    return ConnectError(Code(code_name(status.code)), status.message, packed_details(status))


def _check_enums(value: Mapping[str, Any], message_class: type[Message]) -> None:
    """Refuse what no value of an enum is: json_format would take the default, or round."""
    for field in message_class.DESCRIPTOR.fields:
        given = value.get(field.json_name, value.get(field.name))
        if field.enum_type is None or given is None:
            continue
        known = [each.name for each in field.enum_type.values]
        if given not in known and not _is_number(given):
            raise InvalidField(field.name, f"{shown(str(given))} is none of {', '.join(known)}")


def _is_number(given: object) -> bool:
    if isinstance(given, str):
        return _NUMBER.fullmatch(given) is not None
    return isinstance(given, int) and not isinstance(given, bool)


def _message(value: dict[str, Any], message_class: type[M]) -> M:
    try:
        return json_format.ParseDict(value, message_class(), ignore_unknown_fields=True)
    except Exception:  # its text is not for the client
        raise _misfit(value, message_class) from None


def _misfit(value: dict[str, Any], message_class: type[Message]) -> ValenceError:
    """Return the error of an object that is no message: it names the first field at fault."""
    known = {name for f in message_class.DESCRIPTOR.fields for name in (f.name, f.json_name)}
    for name in value.keys() & known:
        try:
            json_format.ParseDict({name: value[name]}, message_class())
        except Exception:  # as above
            return InvalidField(name, "has a value that the field cannot hold")
    return MalformedMessage(f"the body is not a {message_class.DESCRIPTOR.full_name}")
