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

_KINDS = {
    "SUCCEEDED": pb.REPORT_KIND_SUCCEEDED,
    "SKIPPED": pb.REPORT_KIND_SKIPPED,
    "FAILED": pb.REPORT_KIND_FAILED,
    "RETURNED": pb.REPORT_KIND_RETURNED,
}
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
        return _children(frame["children"])
    except (TypeError, ValueError, KeyError) as error:
        raise FrameError(f"children are malformed: {error!r}") from error


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
    return Result(
        int(identity),
        _KINDS[kind],
        label,
        result_json,
        _time(start_us),
        _time(end_us),
        folder,
        _failure(failure) if failure else None,
        _children(given) if given else None,
    )


def _failure(failure: Frame) -> pb.TaskFailure:
    return pb.TaskFailure(
        error_class=failure["error_class"],
        rule=failure.get("rule") or "",
        message=failure.get("message") or "",
        traceback=failure.get("traceback") or "",
        remedy=failure.get("remedy") or "",
        retry_after_seconds=bounded_retry_after(failure.get("retry_after") or 0.0),
    )


def _time(microseconds: float) -> int:
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
