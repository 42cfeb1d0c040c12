"""Frames between a worker and its runner, over an inherited Unix socket: a line each.

A line is a JSON document and the texts that belong to it, which hold JSON themselves: each stands behind a separator,
as it is. Within the document they would be escaped, and read twice.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from milepost.sdk.edges import edge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_FRAME_BYTES = 16 << 20
#: JSON text holds neither this nor a line's end.
SEPARATOR = "\x1e"
#: Results are written in frames of about this size: at worst four times as many bytes, well below the limit.
_BATCH_CHARACTERS = 1 << 20

Frame = dict[str, Any]  # Any: a JSON object
#: How an execution ended: [id, kind, label, result_json, start_us, end_us, folder, failure], and behind them the keys
#: and payloads of its children if the step gives many.
Row = list[Any]
_FOLDER, _FAILURE, _CHILDREN = 6, 7, 8

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def open_socket(descriptor: int) -> socket.socket:
    """The inherited socket, kept from every process that the author's code starts or forks."""
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)

    def close_in_child() -> None:
        number = sock.detach()
        if number >= 0:
            os.close(number)

    os.register_at_fork(after_in_child=close_in_child)
    return sock


def read_first(sock: socket.socket) -> Frame:
    """The frame that opens a conversation, read to its last byte and no further. Raises EOFError, ValueError."""
    received = bytearray()
    while not received.endswith(b"\n"):
        peeked = sock.recv(65536, socket.MSG_PEEK)
        if not peeked or len(received) > MAX_FRAME_BYTES:
            raise EOFError("the runner closed the socket before its first frame was whole")
        line, newline, _ = peeked.partition(b"\n")
        received += sock.recv(len(line) + len(newline))
    frame = json.loads(received)
    if not isinstance(frame, dict):
        raise ValueError("the first frame is not a JSON object")  # noqa: TRY004 (wrong data, as json's own errors)
    return frame


def to_line(frame: Frame, texts: Iterable[str] = ()) -> bytes:
    """A text that is not valid Unicode is shown with question marks: results are checked before they come here."""
    return (SEPARATOR.join([_encode(frame), *texts]) + "\n").encode("utf-8", "replace")


def from_line(line: bytes) -> tuple[Frame, list[str]]:
    """A frame and its texts. Raises ValueError."""
    document, *texts = line[:-1].decode().split(SEPARATOR)
    return json.loads(document), texts


class Channel:
    """Belongs to the event loop's thread; `ask` and `finish_from_thread` may be called from any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._wake = asyncio.Event()
        self._lines: list[bytes] = []
        self._results: list[Row] = []
        self._asked: dict[int, concurrent.futures.Future[Frame]] = {}
        self._numbers = itertools.count(1)
        self._closing = False

    @property
    def on_loop(self) -> bool:
        return threading.get_ident() == self._thread

    def send(self, line: bytes) -> None:
        self._lines.append(line)
        self._wake.set()

    def finish(self, result: Row) -> None:
        """Queues the row of an execution that has ended; it goes out after every line that was sent before."""
        self._results.append(result)
        self._wake.set()

    def call(self, function: Any, *arguments: Any) -> None:  # Any: a function and what it takes
        """Runs it in the loop's thread: at once when called there."""
        if self.on_loop:
            function(*arguments)
        else:
            self._loop.call_soon_threadsafe(function, *arguments)

    def ask(self, frame: Frame) -> concurrent.futures.Future[Frame]:
        """Sends a request; the future holds the frame that answers it."""
        number = next(self._numbers)
        future: concurrent.futures.Future[Frame] = concurrent.futures.Future()
        self._asked[number] = future
        self.call(self.send, to_line({**frame, "request": number}))
        return future

    def answered(self, frame: Frame) -> None:
        future = self._asked.pop(frame["request"], None)
        if future is not None and future.set_running_or_notify_cancel():
            future.set_result(frame)

    async def write_all(self, writer: asyncio.StreamWriter) -> None:
        """Writes what is queued, as it comes, at the pace of the reader, until `close`.

        Raises ConnectionError when the reader is gone.
        """
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            await self._flush(writer)

    def close(self) -> None:
        """What is queued is still written; then `write_all` returns."""
        self._closing = True
        self._wake.set()

    async def _flush(self, writer: asyncio.StreamWriter) -> None:
        while self._lines or self._results:
            lines, self._lines = self._lines, []
            results, self._results = self._results, []
            if lines:
                await _write(writer, lines)
            for batch in _batches(results):
                await _write(writer, list(_lines(batch)))


@edge("channel.write")
async def _write(writer: asyncio.StreamWriter, lines: list[bytes]) -> None:
    writer.writelines(lines)
    await writer.drain()


def _batches(results: list[Row]) -> list[list[Row]]:
    batches: list[list[Row]] = []
    batch: list[Row] = []
    size = 0
    for result in results:
        own = _size(result)
        if batch and size + own > _BATCH_CHARACTERS:
            batches.append(batch)
            batch, size = [], 0
        batch.append(result)
        size += own
    if batch:
        batches.append(batch)
    return batches


def _size(result: Row) -> int:
    """In characters."""
    size = 200 + len(result[3])
    if result[_FAILURE] is not None:
        size += sum(len(value) for value in result[_FAILURE].values() if isinstance(value, str))
    if len(result) > _CHILDREN:
        size += sum(map(len, result[_CHILDREN])) + sum(map(len, result[_CHILDREN + 1]))
    return size


def _lines(results: list[Row]) -> Iterator[bytes]:
    """What ended alike, with nothing more to tell than results, is one frame with a column a field."""
    alike: dict[tuple[str, str], list[Row]] = {}
    others: list[Row] = []
    for result in results:
        if result[_FAILURE] is None and not result[_FOLDER] and len(result) == _CHILDREN:
            alike.setdefault((result[1], result[2]), []).append(result)
        else:
            others.append(result)
    for (kind, label), rows in alike.items():
        ids, _, _, texts, start_us, end_us, _, _ = zip(*rows)
        frame = {"type": "done", "kind": kind, "label": label, "ids": ids, "start_us": start_us, "end_us": end_us}
        yield to_line(frame, texts)
    if others:
        yield _line_of_rows(others)


def _line_of_rows(results: list[Row]) -> bytes:
    rows: list[Row] = []
    texts: list[str] = []
    for number, kind, label, result_json, start_us, end_us, folder, failure, *children in results:
        keys, payloads = children or (None, [result_json])
        rows.append([number, kind, label, start_us, end_us, folder, failure, keys])
        texts += payloads
    return to_line({"type": "ended", "tasks": rows}, texts)
