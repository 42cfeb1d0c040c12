"""Programs in a terminal of their own, 120 columns by 36 lines, whose output is read and forgotten."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.measuring import HERE

_LINES, _COLUMNS = 36, 120
_ENDS = 5.0


@contextlib.contextmanager
def in_terminal(command: list[str], environment: Mapping[str, str]) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The process, and the descriptor that its output is read from."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True, cwd=HERE.parent
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    try:
        yield process, ours
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_ENDS)
        os.close(ours)


def environment(folder: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
    own = {"XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PYTHONPATH": str(HERE.parent)}
    return {**clean, **own, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}


async def until(process: "subprocess.Popen[bytes]", output: int, wanted: bytes, deadline: float) -> float:
    """Seconds until `wanted` was printed; empty: until the process has ended. Raises RuntimeError."""
    begun, seen = time.perf_counter(), b""
    while time.perf_counter() - begun < deadline:
        with contextlib.suppress(BlockingIOError):
            try:
                seen = (seen + os.read(output, 1 << 16))[-(1 << 16) :]
            except OSError:
                if not wanted and process.poll() is not None:
                    return time.perf_counter() - begun
        if wanted and wanted in seen:
            return time.perf_counter() - begun
        if not wanted and process.poll() is not None:
            return time.perf_counter() - begun
        await asyncio.sleep(0.001)
    raise RuntimeError(f"{process.args!r} printed no {wanted!r}: {seen[-2000:]!r}")


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
