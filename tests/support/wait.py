"""Waiting for a condition, with a deadline: no test sleeps for a time and hopes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 30.0
_PAUSE = 0.02


async def wait_until(condition: Callable[[], Awaitable[T | None]], what: str, deadline: float = DEADLINE) -> T:
    """The first result that is true. Fails with `what` and the last result."""
    clock = asyncio.get_running_loop().time
    end = clock() + deadline
    while True:
        found = await condition()
        if found:
            return found
        assert clock() < end, f"not within {deadline:g} s: {what}; last: {found!r}"
        await asyncio.sleep(_PAUSE)
