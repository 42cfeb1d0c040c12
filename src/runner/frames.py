"""The frames between runner and worker as values: one JSON document a line (ARCHITECTURE.md has the protocol).

What a worker sends is checked here, because any program may be a worker. Texts may hold lone surrogates (file names
that are not UTF-8), which no message to the daemon can carry: they become question marks.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from milepost.common.wire.runner import COMPLETED
from milepost.common.wire.times import LAST_TIME, MICROSECONDS
from milepost.core.retry import bounded_retry_after
from milepost.v1 import runner_service_pb2 as pb

PROTOCOL = 1
MAX_FRAME = 16 * 1024 * 1024
#: Of a result, a saved state, the payload of a child: bytes of UTF-8.
MAX_JSON = 64 * 1024
#: Characters.
MAX_LABEL = 64
MAX_KEY = 1000
#: Children that come with a result, or in one chunk of the items step; the size is in characters.
MAX_CHILDREN, MAX_CHILDREN_SIZE = 10_000, 3 * 1024 * 1024
MAX_CHUNK, MAX_CHUNK_SIZE = 500, 1024 * 1024

_KINDS = {
    "SUCCEEDED": pb.REPORT_KIND_SUCCEEDED,
    "SKIPPED": pb.REPORT_KIND_SKIPPED,
    "FAILED": pb.REPORT_KIND_FAILED,
    "RETURNED": pb.REPORT_KIND_RETURNED,
}
#: Of an error: what is longer is cut. Characters.
_MAX_NAME, _MAX_MESSAGE, _MAX_TRACEBACK = 100, 2000, 8000
_MAX_TIME = int(LAST_TIME) * MICROSECONDS
_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_ENCODE_TASKS = msgspec.json.Encoder().encode

# What is counted on from such a number still has 64 bits.
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
#: Key and payload.
Child = tuple[str, str]


#: To a worker, except for `tasks`.
Frame = Mapping[str, object]


class FrameError(Exception):
    """The worker does not keep to the protocol; the text says how."""


class TaskRow(msgspec.Struct, array_like=True, gc=False):
    """An element of `tasks`."""

    id: int
    step: str
    key: str
    item: int
    epoch: int
    attempt: int
    payload_json: str
    previous: dict[str, str]
    saved_json: str
    folder: str


class Result(msgspec.Struct):
    """How an attempt ended. Times are Unix time in microseconds."""

    id: int
    kind: "pb.ReportKind.ValueType"
    label: str = ""
    result_json: str = ""
    start_us: int = 0
    end_us: int = 0
    folder: str = ""
    failure: pb.TaskFailure | None = None
    children: list[Child] | None = None
    #: Of a step that gives many: the number of this execution, and how many children it gave in chunks.
    enumeration: int = 0
    enumerated: int = 0


class Failure(msgspec.Struct):
    """Of a row of `done`."""

    error_class: str
    rule: str | None = None
    message: str | None = None
    traceback: str | None = None
    remedy: str | None = None
    retry_after: int | float | None = None


class Row(msgspec.Struct, array_like=True, gc=False):
    """An element of `done`; times may be any number."""

    id: int
    kind: Literal["SUCCEEDED", "SKIPPED", "FAILED", "RETURNED"]
    label: str
    result_json: str
    start_us: int | float
    end_us: int | float
    folder: str
    failure: Failure | None
    children: list[Child] | None = None


class _FromWorker(msgspec.Struct, tag_field="type", tag=str.lower):
    """The name of a frame's class, in small letters, is its type."""


class Done(_FromWorker):
    results: list[Row]


class Items(_FromWorker):
    id: int
    enumeration: Whole
    first: Whole
    children: list[Child]


class Save(_FromWorker):
    request: Whole
    id: int
    state: str = ""


class Gather(_FromWorker):
    request: Whole
    id: int
    cursor: Whole


class Pong(_FromWorker):
    n: Whole


class Ready(_FromWorker):
    pass


class Mistake(_FromWorker):
    message: str = ""
    file: str = ""
    line: int | None = None
    interpreter: str = ""


OfTasks = Done | Items | Save | Gather
FromWorker = OfTasks | Pong | Ready | Mistake

_DECODER: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)


def encode(frame: Frame) -> bytes:
    return _ENCODE(frame).encode() + b"\n"


def encode_tasks(rows: Sequence[TaskRow]) -> bytes:
    return _ENCODE_TASKS({"type": "tasks", "tasks": rows}) + b"\n"


def decode(line: bytes) -> FromWorker:
    """Raises FrameError."""
    try:
        return _DECODER.decode(line)
    except (ValueError, RecursionError):
        return _decode_leniently(line)


def result(row: Row) -> Result:
    """What cannot be kept becomes a failed attempt."""
    kind = _KINDS[row.kind]
    start_us, end_us = _time(row.start_us), _time(row.end_us)
    if kind not in COMPLETED:
        failure = _failure(row.failure) if row.failure else None
        return Result(row.id, kind, "", "", start_us, end_us, row.folder, failure)
    if offence := _offence(row):
        return Result(row.id, pb.REPORT_KIND_FAILED, "", "", start_us, end_us, row.folder, offence)
    return Result(row.id, kind, row.label, row.result_json, start_us, end_us, row.folder, None, row.children)


def children(frame: Items) -> list[Child]:
    """Raises FrameError."""
    if offence := _offence_of_children(frame.children, MAX_CHUNK, MAX_CHUNK_SIZE):
        raise FrameError(f"in a chunk of items {offence}")
    return frame.children


def saved_state(frame: Save) -> str:
    """Raises FrameError."""
    if _is_longer(frame.state, MAX_JSON):
        raise FrameError(f"a saved state has more than {MAX_JSON:,} bytes")
    return frame.state


def _decode_leniently(line: bytes) -> FromWorker:
    """JSON as Python takes it: with NaN, and with texts that are not valid Unicode. Raises FrameError."""
    try:
        value = _without_surrogates(json.loads(line.decode(errors="replace")))
        frame: FromWorker = msgspec.convert(value, FromWorker)
    except ValueError as error:
        raise FrameError(f"a frame is malformed: {error}") from error
    except RecursionError as error:
        raise FrameError("a frame is nested too deeply") from error
    return frame


def _offence(row: Row) -> pb.TaskFailure | None:
    """Why what the task gave cannot be kept."""
    error_class, offence = "result_too_large", ""
    if len(row.label) > MAX_LABEL or not row.label.isprintable():
        error_class = "invalid_result"
        offence = f"its label {row.label[:MAX_LABEL]!r} is not a printable text of at most {MAX_LABEL} characters"
    elif "\0" in row.result_json:
        error_class, offence = "invalid_result", "its result holds a NUL character, which JSON does not"
    elif _is_longer(row.result_json, MAX_JSON):
        offence = f"its result has more than {MAX_JSON:,} bytes"
    elif row.children:
        offence = _offence_of_children(row.children)
    if not offence:
        return None
    return pb.TaskFailure(
        error_class=error_class,
        rule="limits",
        message=f"What the task gave back cannot be kept: {offence}.",
        remedy="Give back less; what is large belongs into the task's folder.",
    )


def _offence_of_children(found: list[Child], most: int = MAX_CHILDREN, size: int = MAX_CHILDREN_SIZE) -> str:
    if len(found) > most or sum(len(key) + len(payload) for key, payload in found) > size:
        return f"there are more than {most:,} children, or they have more than {size:,} characters"
    if any(len(key) > MAX_KEY or _is_longer(payload, MAX_JSON) for key, payload in found):
        return f"a child has a key of more than {MAX_KEY:,} characters or a payload of more than {MAX_JSON:,} bytes"
    return ""


def _is_longer(text: str, most: int) -> bool:
    # A character is at most four bytes.
    return len(text) * 4 > most and len(text.encode()) > most


def _failure(failure: Failure) -> pb.TaskFailure:
    return pb.TaskFailure(
        error_class=failure.error_class[:_MAX_NAME],
        rule=(failure.rule or "")[:_MAX_NAME],
        message=(failure.message or "")[:_MAX_MESSAGE],
        traceback=(failure.traceback or "")[:_MAX_TRACEBACK],
        remedy=(failure.remedy or "")[:_MAX_MESSAGE],
        retry_after_seconds=bounded_retry_after(failure.retry_after or 0.0),
    )


def _time(microseconds: float) -> int:
    if type(microseconds) is int and 0 <= microseconds <= _MAX_TIME:
        return microseconds
    return int(min(max(0, microseconds), _MAX_TIME))


def _without_surrogates(value: Any) -> Any:  # Any: a JSON value
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_without_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(element) for key, element in value.items()}
    return value
