"""Durations as authors write them: seconds as a number, or "250ms", "30s", "2m", "1.5h"."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)")
_LONGEST = 10 * 365 * 86400.0


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
