"""What a step returns, and its JSON form."""

from __future__ import annotations

import json
from typing import Any

MAX_RESULT_BYTES = 65536
MAX_LABEL = 64

_decode = json.JSONDecoder().raw_decode
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_make_encoder: Any = getattr(json.encoder, "c_make_encoder", None)  # Any: typeshed does not know it
_inside: dict[int, object] = {}  # what is being encoded, by which circles are found
_chunks = _make_encoder and _make_encoder(  # where an interpreter has no such thing, the call below fails: slower
    _inside, _encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
)


class Outcome:
    """A result with what the pipeline says about it; made by `skipped` and `labelled`."""

    __slots__ = ("kind", "label", "result")

    def __init__(self, kind: str, label: object, result: object) -> None:
        if not isinstance(label, str) or len(label) > MAX_LABEL or not label.isprintable():
            raise ValueError(f"{label!r} is not a label: a printable text of at most {MAX_LABEL} characters")
        self.kind = kind
        self.label = label
        self.result = result


def skipped(label: str = "", result: object = None) -> Outcome:
    """The item leaves the line here, on purpose: `return skipped("filtered")`.

    A label is a printable text of at most 64 characters, one of a few that the step has: beyond 100 different ones they
    are counted as "other".
    """
    return Outcome("SKIPPED", label, result)


def labelled(label: str, result: object = None) -> Outcome:
    """The task succeeded, counted under a label of the pipeline's own: `return labelled("added", result)`.

    Labels are as in `skipped`.
    """
    return Outcome("SUCCEEDED", label, result)


class InvalidResult(Exception):  # noqa: N818 (its name is the error class in words)
    """A value that cannot be kept. `error_class` is invalid_result or result_too_large."""

    def __init__(self, message: str, remedy: str, error_class: str = "invalid_result") -> None:
        super().__init__(message)
        self.remedy = remedy
        self.error_class = error_class


def decode(text: str) -> Any:  # Any: a JSON value
    """As json.loads, without its search for white space around the value, which costs as much as a small item."""
    return _decode(text)[0]


def encode(value: object, what: str = "The result") -> str:
    """JSON text of at most 64 KiB. Raises InvalidResult that names the offending part and what to do."""
    try:
        text = _to_json(value)
        if len(text) * 4 > MAX_RESULT_BYTES or not text.isascii():
            _check_bytes(text, what)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResult(*_offence(value, what, error)) from None
    return text


def _to_json(value: object) -> str:
    """As `_encoder.encode`, which makes what it encodes with anew for each value: that costs as much as a small one."""
    try:
        return "".join(_chunks(value, 0))
    except Exception:  # noqa: BLE001 (whatever it is, the encoder that was made for this value says it again)
        _inside.clear()
        return _encoder.encode(value)


def _check_bytes(text: str, what: str) -> None:
    size = len(text.encode())
    if size > MAX_RESULT_BYTES:
        raise InvalidResult(
            f"{what} is {size / 1024:.0f} KiB of JSON; at most {MAX_RESULT_BYTES // 1024} KiB are kept.",
            "Write it to a file in task.artefacts and return what names it.",
            "result_too_large",
        )


def _offence(value: object, what: str, error: Exception) -> tuple[str, str]:
    """What is wrong, and what to do: the first part that JSON cannot hold."""
    found = _find_offender(value, "", 0)
    if found is None:
        return (
            f"{what} cannot be written as JSON: {error}.",
            "Return plain data: dict, list, str, int, float, bool, None.",
        )
    path, offender = found
    where = f" at {path}" if path else ""
    if isinstance(offender, float):
        return f"{what} holds {offender}{where}, which JSON has no word for.", "Return None in its place."
    if isinstance(offender, str):
        return f"{what} holds a text{where} that is not valid Unicode.", 'Decode it with errors="replace".'
    name = type(offender).__name__
    if hasattr(offender, "__await__"):
        return f"{what} holds a {name}{where}.", "An `await` is missing there, or a decorator hides an async function."
    return (
        f"{what} holds a {name}{where}, which is not JSON data.",
        "Return plain data: dict, list, str, int, float, bool, None.",
    )


def _find_offender(value: object, path: str, depth: int) -> tuple[str, Any] | None:  # Any: whatever the author returned
    if depth > 100:  # circular or absurdly deep: the encoder's own words say which
        return None
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, (str, int, float, bool, type(None))):
                return f"{path}[{key!r}]", key
            found = _find_offender(key, f"{path}[{key!r}]", depth + 1) or _find_offender(
                part, f"{path}[{key!r}]", depth + 1
            )
            if found:
                return found
        return None
    if isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            found = _find_offender(part, f"{path}[{number}]", depth + 1)
            if found:
                return found
        return None
    if isinstance(value, float):
        return None if value - value == 0 else (path, value)
    if isinstance(value, str):
        return None if value.isascii() or _is_unicode(value) else (path, value)
    return None if value is None or isinstance(value, int) else (path, value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
