"""The frames between runner and worker as values: a line each, of a JSON document and texts (ARCHITECTURE.md).

What a worker sends is checked here, because any program may be a worker. Texts may hold lone surrogates (file names
that are not UTF-8), which no message to the daemon can carry: they become question marks.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec

from milepost.common.wire.runner import COMPLETED
from milepost.common.wire.times import LAST_TIME, MICROSECONDS
from milepost.core.retry import bounded_retry_after
from milepost.v1 import runner_service_pb2 as pb

PROTOCOL = 2
#: Stands before each text, which follow their frame's document as they are: a line's end is in none either.
SEPARATOR = "\x1e"
MAX_FRAME = 16 * 1024 * 1024
#: Of a result, a saved state, the payload of a child: bytes of UTF-8.
MAX_JSON = 64 * 1024
#: Characters.
MAX_LABEL = 64
MAX_KEY = 1000
#: Children that come with a result, or in one chunk of the items step; the size is in characters.
MAX_CHILDREN, MAX_CHILDREN_SIZE = 10_000, 3 * 1024 * 1024
MAX_CHUNK, MAX_CHUNK_SIZE = 500, 1024 * 1024
#: Of all texts of a frame that `is_plain`: characters.
_PLAIN_SIZE = 256 * 1024

_KINDS = {
    "SUCCEEDED": pb.REPORT_KIND_SUCCEEDED,
    "SKIPPED": pb.REPORT_KIND_SKIPPED,
    "FAILED": pb.REPORT_KIND_FAILED,
    "RETURNED": pb.REPORT_KIND_RETURNED,
}
#: Of an error: what is longer is cut. Characters.
_MAX_NAME, _MAX_MESSAGE, _MAX_TRACEBACK = 100, 2000, 8000
_MAX_TIME = int(LAST_TIME) * MICROSECONDS
#: In ASCII: parameters are JSON that may hold lone surrogates, which cannot be written otherwise.
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_ENCODE_TASKS = msgspec.json.Encoder().encode
#: In JSON such a character may only stand between values, where another white space does as well.
_IN_ONE_PIECE = str.maketrans({"\n": " ", SEPARATOR: " "})

# What is counted on from such a number still has 64 bits.
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Time = Annotated[int, msgspec.Meta(ge=0, le=_MAX_TIME)]
#: Key and payload.
Child = tuple[str, str]
Kind = Literal["SUCCEEDED", "SKIPPED", "FAILED", "RETURNED"]


#: To a worker, except for `tasks`.
Frame = Mapping[str, object]


class FrameError(Exception):
    """The worker does not keep to the protocol; the text says how."""


class Earlier(msgspec.Struct, array_like=True, gc=False):
    """What came before the task with this index in `tasks`."""

    index: int
    attempt: int
    previous: dict[str, str]
    saved_json: str

    @property
    def size(self) -> int:
        """Of its texts, in characters."""
        return len(self.saved_json) + sum(map(len, self.previous.values()))


class Tasks(msgspec.Struct, tag_field="type", tag="tasks"):
    """Of one step, in columns; their payloads are the texts."""

    step: str
    #: Of the step, in that of each item.
    folder: str
    ids: list[int]
    items: list[int]
    keys: list[str]
    earlier: list[Earlier]


class Result(msgspec.Struct, gc=False):
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
    """Of a row of `ended`."""

    error_class: str
    rule: str | None = None
    message: str | None = None
    traceback: str | None = None
    remedy: str | None = None
    retry_after: int | float | None = None


class Row(msgspec.Struct, array_like=True, gc=False):
    """An element of `ended`; times may be any number. Its text is its result; with keys, its texts are payloads."""

    id: int
    kind: Kind
    label: str
    start_us: int | float
    end_us: int | float
    folder: str
    failure: Failure | None
    keys: list[str] | None


class _FromWorker(msgspec.Struct, tag_field="type", tag=str.lower):
    """The name of a frame's class, in small letters, is its type."""


class _WithTexts(_FromWorker, kw_only=True):
    texts: list[str] = []  # a new one for each (msgspec copies it)


class Done(_WithTexts):
    """What ended alike, in columns; the texts are results."""

    kind: Kind
    label: str
    ids: list[int]
    start_us: list[Time]
    end_us: list[Time]


class Ended(_WithTexts):
    """What has more to tell."""

    tasks: list[Row]


class Items(_WithTexts):
    """The texts are payloads."""

    id: int
    enumeration: Whole
    first: Whole
    keys: list[str]


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


OfTasks = Done | Ended | Items | Save | Gather
FromWorker = OfTasks | Pong | Ready | Mistake

_DECODER: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)


def encode(frame: Frame) -> bytes:
    return _ENCODE(frame).encode() + b"\n"


def encode_tasks(tasks: Tasks, payloads_json: Sequence[str]) -> bytes:
    texts = SEPARATOR.join(payloads_json)
    if "\n" in texts or texts.count(SEPARATOR) >= len(payloads_json):
        texts = SEPARATOR.join(text.translate(_IN_ONE_PIECE) for text in payloads_json)
    return b"".join((_ENCODE_TASKS(tasks), SEPARATOR.encode(), texts.encode(), b"\n"))


def decode(line: bytes) -> FromWorker:
    """Raises FrameError."""
    document, *texts = line[:-1].decode(errors="replace").split(SEPARATOR)
    try:
        frame = _DECODER.decode(document)
    except (ValueError, RecursionError):
        frame = _decode_leniently(document)
    if isinstance(frame, _WithTexts):
        frame.texts = texts
    elif texts:
        raise FrameError("a frame has texts that it cannot have")
    return frame


def is_plain(frame: Done) -> bool:
    """Whether it is known without a look at each that all of it can be kept as it stands, and is not much."""
    count = len(frame.ids)
    columns = frame.texts, frame.start_us, frame.end_us, set(frame.ids)
    return (
        kind(frame) in COMPLETED
        and all(len(column) == count for column in columns)
        and _is_label(frame.label)
        and max(map(len, frame.texts), default=0) * 4 <= MAX_JSON
        and "\0" not in (all_texts := "".join(frame.texts))
        and len(all_texts) <= _PLAIN_SIZE
    )


def kind(frame: Done) -> "pb.ReportKind.ValueType":
    return _KINDS[frame.kind]


def results(frame: Done | Ended) -> list[Result]:
    """What cannot be kept becomes a failed attempt. Raises FrameError."""
    return _of_columns(frame) if isinstance(frame, Done) else _of_rows(frame)


def children(frame: Items) -> list[Child]:
    """Raises FrameError."""
    if len(frame.keys) != len(frame.texts):
        raise FrameError("a chunk of items has not as many payloads as keys")
    given = list(zip(frame.keys, frame.texts, strict=True))
    if offence := _offence_of_children(given, MAX_CHUNK, MAX_CHUNK_SIZE):
        raise FrameError(f"in a chunk of items {offence}")
    return given


def saved_state(frame: Save) -> str:
    """Raises FrameError."""
    if _is_longer(frame.state, MAX_JSON):
        raise FrameError(f"a saved state has more than {MAX_JSON:,} bytes")
    return frame.state


def _decode_leniently(document: str) -> FromWorker:
    """JSON as Python takes it: with NaN, and with texts that are not valid Unicode. Raises FrameError."""
    try:
        value = _without_surrogates(json.loads(document))
        if isinstance(value, dict):
            value.update((name, _times(value[name])) for name in ("start_us", "end_us") if name in value)
        frame: FromWorker = msgspec.convert(value, FromWorker)
    except ValueError as error:
        raise FrameError(f"a frame is malformed: {error}") from error
    except RecursionError as error:
        raise FrameError("a frame is nested too deeply") from error
    return frame


def _of_columns(frame: Done) -> list[Result]:
    count = len(frame.ids)
    if len(frame.texts) != count or len(frame.start_us) != count or len(frame.end_us) != count:
        raise FrameError("the columns of a frame differ in length")
    columns = zip(frame.ids, frame.texts, frame.start_us, frame.end_us, strict=True)
    return [
        _checked(Result(number, kind(frame), frame.label, text, start_us, end_us))
        for number, text, start_us, end_us in columns
    ]


def _of_rows(frame: Ended) -> list[Result]:
    texts = iter(frame.texts)
    found = [_of_row(row, texts) for row in frame.tasks]
    if any(True for _ in texts):
        raise FrameError("a frame has more texts than tasks and children")
    return found


def _of_row(row: Row, texts: Iterator[str]) -> Result:
    """Takes those that are its own."""
    given = list(islice(texts, 1 if row.keys is None else len(row.keys)))
    if len(given) != (1 if row.keys is None else len(row.keys)):
        raise FrameError("a frame has less texts than tasks and children")
    result = Result(row.id, _KINDS[row.kind], row.label, "", _time(row.start_us), _time(row.end_us), row.folder)
    if row.keys is None:
        result.result_json = given[0]
    else:
        result.children = list(zip(row.keys, given, strict=True))
    if row.failure is not None and result.kind not in COMPLETED:
        result.failure = _failure(row.failure)
    return _checked(result)


def _checked(result: Result) -> Result:
    if result.kind not in COMPLETED:
        offence = result.failure
    elif (offence := _offence(result)) is not None:
        result.kind = pb.REPORT_KIND_FAILED
    else:
        return result
    return Result(result.id, result.kind, "", "", result.start_us, result.end_us, result.folder, offence)


def _offence(result: Result) -> pb.TaskFailure | None:
    """Why what the task gave cannot be kept."""
    error_class, offence = "result_too_large", ""
    if not _is_label(result.label):
        error_class = "invalid_result"
        offence = f"its label {result.label[:MAX_LABEL]!r} is not a printable text of at most {MAX_LABEL} characters"
    elif "\0" in result.result_json:
        error_class, offence = "invalid_result", "its result holds a NUL character, which JSON does not"
    elif _is_longer(result.result_json, MAX_JSON):
        offence = f"its result has more than {MAX_JSON:,} bytes"
    elif result.children:
        offence = _offence_of_children(result.children)
    if not offence:
        return None
    return pb.TaskFailure(
        error_class=error_class,
        rule="limits",
        message=f"What the task gave back cannot be kept: {offence}.",
        remedy="Give back less; what is large belongs into the task's folder.",
    )


def _offence_of_children(found: list[Child], most: int = MAX_CHILDREN, size: int = MAX_CHILDREN_SIZE) -> str:
    sizes = [len(key) + len(payload) for key, payload in found]
    if len(found) > most or sum(sizes) > size:
        return f"there are more than {most:,} children, or they have more than {size:,} characters"
    if max(sizes, default=0) > MAX_KEY and any(
        len(key) > MAX_KEY or _is_longer(payload, MAX_JSON) for key, payload in found
    ):
        return f"a child has a key of more than {MAX_KEY:,} characters or a payload of more than {MAX_JSON:,} bytes"
    return ""


def _is_label(text: str) -> bool:
    return len(text) <= MAX_LABEL and text.isprintable()


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


def _times(column: Any) -> Any:  # Any: a JSON value
    if not isinstance(column, list):
        return column
    return [_time(one) if isinstance(one, (int, float)) else one for one in column]


def _without_surrogates(value: Any) -> Any:  # Any: a JSON value
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_without_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(element) for key, element in value.items()}
    return value
