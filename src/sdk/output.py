"""What a task prints goes to the run's log at once, line by line, each line tagged with its step and key."""

from __future__ import annotations

import contextlib
import contextvars
import io
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from milepost.sdk.execution import Execution

#: The execution whose code runs here: set in its asyncio task or thread, inherited by what it starts.
current: contextvars.ContextVar[Execution] = contextvars.ContextVar("milepost_execution")

_MAX_LINE = 16384


class TaggedStream(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr. A line reaches the log whole; a carriage return ends a line too."""

    def __init__(self, original: Any) -> None:  # Any: whatever the interpreter made of the descriptor
        super().__init__()
        self._original = original
        self._descriptor: int = original.fileno()
        self._lock = threading.RLock()  # reentrant: a finaliser may print while a print is going on
        #: Beginnings of lines that are not ended yet, by tag.
        self.unfinished: dict[str, str] = {}

    @property
    def buffer(self) -> Any:  # Any: as above
        return self._original.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() takes a str, not {type(text).__name__}")
        execution = current.get(None)
        tag = execution.tag if execution is not None else ""
        lines = text
        if "\r" in text:
            lines = text.replace("\r\n", "\n").replace("\r", "\n")
        with self._lock:
            if tag in self.unfinished:
                lines = self.unfinished.pop(tag) + lines
            whole, newline, rest = lines.rpartition("\n")
            if len(rest) > _MAX_LINE:
                whole, newline, rest = whole + newline + rest, "\n", ""
            if rest:
                self.unfinished[tag] = rest
            if newline:
                self._emit(tag, whole)
        return len(text)

    def end(self, tag: str) -> None:
        """Writes what a task that has ended left without a newline."""
        with self._lock:
            rest = self.unfinished.pop(tag, "")
            if rest:
                self._emit(tag, rest)

    def _emit(self, tag: str, lines: str) -> None:
        text = "".join(f"{tag}{line}\n" for line in lines.split("\n"))
        data = text.encode("utf-8", "backslashreplace")
        # A full disk must not fail the task whose log line finds no place: there is nowhere left to tell it.
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]


def install() -> tuple[TaggedStream, ...]:
    """Puts tagged streams in the place of sys.stdout and sys.stderr."""
    streams = []
    for name in ("stdout", "stderr"):
        original = getattr(sys, name)
        original.reconfigure(line_buffering=True)
        stream = TaggedStream(original)
        setattr(sys, name, stream)
        streams.append(stream)
    return tuple(streams)


def printable(text: str) -> str:
    """The text with its control characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
