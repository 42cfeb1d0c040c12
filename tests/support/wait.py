"""Waiting for a condition, with a deadline: no test sleeps for a time and hopes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 30.0
#: Seconds between two looks, which grow: looking at what takes long anyway would only make it take longer.
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.1


async def wait_until(condition: Callable[[], Awaitable[T | None]], what: str, deadline: float = DEADLINE) -> T:
    """The first result that is true. Fails with `what` and the last result."""
    clock = asyncio.get_running_loop().time
    end = clock() + deadline
    pause = _FIRST_PAUSE
    while True:
        found = await condition()
        if found:
            return found
        assert clock() < end, f"not within {deadline:g} s: {what}; last: {found!r}"
        await asyncio.sleep(pause)
        pause = min(1.2 * pause, _LONGEST_PAUSE)
