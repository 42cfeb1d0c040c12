"""The frames between runner and worker as values: one JSON document a line (ARCHITECTURE.md has the protocol).

What a worker sends is checked here, because any program may be a worker. Texts may hold lone surrogates (file names
that are not UTF-8), which no message to the daemon can carry: they become question marks.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
_COMPLETED = (pb.REPORT_KIND_SUCCEEDED, pb.REPORT_KIND_SKIPPED)
#: Of an error: what is longer is cut. Characters.
_MAX_NAME, _MAX_MESSAGE, _MAX_TRACEBACK = 100, 2000, 8000
_MAX_WHOLE = 2**63
_MAX_TIME = int(LAST_TIME) * MICROSECONDS
_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

Frame = Mapping[str, Any]  # Any: a JSON object; the functions below read it


class FrameError(Exception):
    """The worker does not keep to the protocol; the text says how."""


@dataclass(slots=True)
class Result:
    """How an attempt ended: an element of a `done` frame. Times are Unix time in microseconds."""

    id: int
    kind: "pb.ReportKind.ValueType"
    label: str = ""
    result_json: str = ""
    start_us: int = 0
    end_us: int = 0
    folder: str = ""
    failure: pb.TaskFailure | None = None
    children: list[tuple[str, str]] | None = None
    #: Of a step that gives many: the number of this execution, and how many children it gave in chunks.
    enumeration: int = 0
    enumerated: int = 0


def encode(frame: Frame) -> bytes:
    return _ENCODE(frame).encode() + b"\n"


def decode(line: bytes) -> Frame:
    """Raises FrameError."""
    try:
        text = line.decode(errors="replace")
        frame = json.loads(text)
        if _SURROGATE.search(text):
            frame = _without_surrogates(frame)
    except ValueError as error:
        raise FrameError(f"a frame is not JSON: {error}") from error
    except RecursionError as error:
        raise FrameError("a frame is nested too deeply") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise FrameError("a frame is not an object with a type")
    return frame


def results(frame: Frame) -> list[Result]:
    """Of a `done` frame. Raises FrameError."""
    try:
        return [_result(*row) for row in frame["results"]]
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise FrameError(f"a result is malformed: {error!r}") from error


def children(frame: Frame) -> list[tuple[str, str]]:
    """Of an `items` frame. Raises FrameError."""
    try:
        found = _children(frame["children"])
    except (TypeError, ValueError, KeyError) as error:
        raise FrameError(f"children are malformed: {error!r}") from error
    if offence := _offence_of_children(found, MAX_CHUNK, MAX_CHUNK_SIZE):
        raise FrameError(f"in a chunk of items {offence}")
    return found


def saved_state(frame: Frame) -> str:
    """Of a `save` frame. Raises FrameError."""
    state = text(frame, "state")
    if _is_longer(state, MAX_JSON):
        raise FrameError(f"a saved state has more than {MAX_JSON:,} bytes")
    return state


def whole(frame: Frame, field: str) -> int:
    """A whole number of 63 bits. Raises FrameError."""
    value = frame.get(field)
    if not isinstance(value, int) or not 0 <= value < _MAX_WHOLE:
        raise FrameError(f"{field} is not a whole number")
    return value


def text(frame: Frame, field: str) -> str:
    """Raises FrameError."""
    value = frame.get(field, "")
    if not isinstance(value, str):
        raise FrameError(f"{field} is not a text")
    return value


def _result(
    identity: int,
    kind: str,
    label: str,
    result_json: str,
    start_us: int,
    end_us: int,
    folder: str,
    failure: Frame | None,
    given: list[list[str]] | None = None,
) -> Result:
    if type(label) is not str or type(result_json) is not str or type(folder) is not str:
        raise TypeError("label, result and folder are texts")
    result = Result(int(identity), _KINDS[kind], start_us=_time(start_us), end_us=_time(end_us), folder=folder)
    if result.kind not in _COMPLETED:
        result.failure = _failure(failure) if failure else None
        return result
    found = _children(given) if given else None
    misnamed = _offence_of_label(label)
    if offence := misnamed or _offence_of_result(result_json) or (found and _offence_of_children(found)):
        result.kind = pb.REPORT_KIND_FAILED
        result.failure = pb.TaskFailure(
            error_class="invalid_result" if misnamed else "result_too_large",
            rule="limits",
            message=f"What the task gave back cannot be kept: {offence}.",
            remedy="Give back less; what is large belongs into the task's folder.",
        )
        return result
    result.label, result.result_json, result.children = label, result_json, found
    return result


def _offence_of_label(label: str) -> str:
    if len(label) <= MAX_LABEL and label.isprintable():
        return ""
    return f"its label {label[:MAX_LABEL]!r} is not a printable text of at most {MAX_LABEL} characters"


def _offence_of_result(result_json: str) -> str:
    return f"its result has more than {MAX_JSON:,} bytes" if _is_longer(result_json, MAX_JSON) else ""


def _offence_of_children(found: list[tuple[str, str]], most: int = MAX_CHILDREN, size: int = MAX_CHILDREN_SIZE) -> str:
    if len(found) > most or sum(len(key) + len(payload) for key, payload in found) > size:
        return f"there are more than {most:,} children, or they have more than {size:,} characters"
    if any(len(key) > MAX_KEY or _is_longer(payload, MAX_JSON) for key, payload in found):
        return f"a child has a key of more than {MAX_KEY:,} characters or a payload of more than {MAX_JSON:,} bytes"
    return ""


def _is_longer(text: str, most: int) -> bool:
    # A character is at most four bytes.
    return len(text) * 4 > most and len(text.encode()) > most


def _failure(failure: Frame) -> pb.TaskFailure:
    return pb.TaskFailure(
        error_class=failure["error_class"][:_MAX_NAME],
        rule=(failure.get("rule") or "")[:_MAX_NAME],
        message=(failure.get("message") or "")[:_MAX_MESSAGE],
        traceback=(failure.get("traceback") or "")[:_MAX_TRACEBACK],
        remedy=(failure.get("remedy") or "")[:_MAX_MESSAGE],
        retry_after_seconds=bounded_retry_after(failure.get("retry_after") or 0.0),
    )


def _time(microseconds: float) -> int:
    if type(microseconds) is int and 0 <= microseconds <= _MAX_TIME:
        return microseconds
    return int(min(max(0, microseconds), _MAX_TIME))


def _children(given: list[list[str]]) -> list[tuple[str, str]]:
    pairs = [(key, payload) for key, payload in given]
    if not all(isinstance(value, str) for pair in pairs for value in pair):
        raise TypeError("key and payload of a child are texts")
    return pairs


def _without_surrogates(value: Any) -> Any:  # Any: a JSON value
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_without_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(element) for key, element in value.items()}
    return value
