"""The places where a crash is tried: whatever commits, starts or ends a process, sends, renames, removes or syncs.

`@edge("store.commit")` leaves its function as it is. Only where tests/crash count and kill, the process counts each
passing in the folder `MILEPOST_KILL_RECORD`: a file for each name and phase, which is as long as it was passed often.
With `MILEPOST_KILL=daemon.store.commit:after:3` the process that makes the third such passing ends there, as by kill
-9. The count outlives it, so nobody ends there a second time. A name begins with the process that is meant; several
kills stand with commas between them.

`common.edges` and `sdk.edges` are the same text: a worker may import nothing but the SDK.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])  # Any: an edge takes and gives whatever it likes

_RECORD = os.environ.get("MILEPOST_KILL_RECORD", "")
_KILLS = frozenset(os.environ.get("MILEPOST_KILL", "").split(","))


def edge(name: str) -> Callable[[Function], Function]:
    """Names a function at whose beginning or end a crash must do no harm."""
    return (lambda function: _counted(name, function)) if _RECORD else (lambda function: function)


def _counted(name: str, function: Any) -> Any:  # Any: as above
    import functools
    import inspect

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def passed(*arguments: Any, **named: Any) -> Any:
            _pass(name, "before")
            value = await function(*arguments, **named)
            _pass(name, "after")
            return value

    else:

        @functools.wraps(function)
        def passed(*arguments: Any, **named: Any) -> Any:
            _pass(name, "before")
            value = function(*arguments, **named)
            _pass(name, "after")
            return value

    return passed


def _pass(name: str, phase: str) -> None:
    place = f"{_process()}.{name}:{phase}"
    descriptor = os.open(f"{_RECORD}/{place}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b".")
        number = os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)
    if f"{place}:{number}" in _KILLS:
        os.kill(os.getpid(), signal.SIGKILL)


def _process() -> str:
    """`daemon` or `runner`, as `python -m milepost.…` says; a worker is started as a folder."""
    spec = sys.modules["__main__"].__spec__
    started = spec.name if spec is not None else ""
    return "worker" if started == "__main__" else started.replace("milepost.", "", 1).partition(".")[0]
