"""Messages as JSON, for scripts: the names of the `.proto`, every field present.

As protobuf's own JSON (times in RFC 3339, durations as "1.5s"), with three differences that make scripts shorter:
enums by their short name ("PAUSED"), 64-bit numbers as numbers, and a message that is not set is null.
"""

import json
from datetime import UTC, datetime
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from milepost.core.errors import MilepostError

Json = Any  # what json.dumps takes
Field = Any  # protobuf has two classes of field descriptors without a common type


def document(message: Message) -> dict[str, Json]:
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def error_document(error: MilepostError) -> dict[str, Json]:
    return {
        "error": {
            "code": error.code.value,
            "message": error.message,
            "remedy": error.remedy,
            "metadata": dict(error.metadata),
        }
    }


def line(value: Json) -> str:
    """One line of JSON. ASCII only, so that no terminal and no pipe can break it."""
    return json.dumps(value, separators=(", ", ": "))


def _field(message: Message, field: Field) -> Json:
    value = getattr(message, field.name)
    if field.is_repeated:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            return {str(key): _value(entry.fields_by_name["value"], item) for key, item in value.items()}
        return [_value(field, item) for item in value]
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return _value(field, value)


def _value(field: Field, value: Any) -> Json:  # Any: whatever type the field has
    if isinstance(value, Timestamp):
        moment = datetime.fromtimestamp(value.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{moment}.{value.nanos // 1000:06d}Z" if value.nanos else f"{moment}Z"
    if isinstance(value, Duration):
        return f"{value.seconds + value.nanos / 1e9:.6f}".rstrip("0").rstrip(".") + "s"
    if isinstance(value, Message):
        return document(value)
    if field.enum_type is not None:
        return enum_name(field.enum_type, value)
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode("ascii")
    return value


def enum_name(enum: EnumDescriptor, number: int) -> str:
    """Short name: JobState 5 is "PAUSED"; a number that this version does not know stays a number, as text."""
    known = enum.values_by_number.get(number)
    if known is None:
        return str(number)
    return known.name.removeprefix(enum.values_by_number[0].name.removesuffix("UNSPECIFIED"))
