"""Durations as authors write them: seconds as a number, or "250ms", "30s", "2m", "1.5h".

A time-out may also name a kind of operation; how long that may take is in the settings of the daemon.
"""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)")
_LONGEST = 10 * 365 * 86400.0
KINDS_OF_OPERATION = ("processing", "generation", "api", "file")


def seconds(value: object) -> float:
    """A duration in seconds. Raises ValueError that says how to write one; it is more than 0 and at most ten years."""
    number: float | None = None
    if isinstance(value, str):
        found = _PATTERN.fullmatch(value.strip())
        number = float(found[1]) * _UNITS[found[2]] if found else None
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    if number is None or not 0 < number <= _LONGEST:
        raise ValueError(f'{value!r} is not a duration; write seconds as a number, or "250ms", "30s", "2m", "1.5h"')
    return number


def timeout(value: object) -> float | str:
    """A duration in seconds, or a kind of operation as it is. Raises ValueError."""
    if isinstance(value, str) and value in KINDS_OF_OPERATION:
        return value
    try:
        return seconds(value)
    except ValueError as error:
        raise ValueError(f"{error}; or name a kind of operation: {', '.join(KINDS_OF_OPERATION)}") from None
