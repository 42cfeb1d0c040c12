"""Drives a real worker process over a socket pair, as the runner does."""

import functools
import itertools
import json
import operator
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DEADLINE = 30.0
MAX_FRAME = 16 * 1024 * 1024
SEPARATOR = "\x1e"

Frame = dict[str, Any]  # Any: a JSON object
Row = list[Any]  # Any: a JSON array


@functools.cache
def interpreters() -> tuple[str, ...]:
    """This interpreter and those of the oldest and the newest Python that the SDK supports, where they work."""
    found = [sys.executable]
    for name in ("python3.9", "python3.13"):
        path = shutil.which(name)
        # A version manager's shim may be there and not work; where it does, what matters is the interpreter behind it.
        arguments = [path or "", "-c", "import sys; print(sys.executable)"]
        asked = subprocess.run(arguments, capture_output=True, text=True, check=False) if path else None
        if asked is not None and asked.returncode == 0:
            found.append(asked.stdout.strip())
    return tuple(found)


class Worker:
    """`work` with a pipeline written to `folder/pipeline.py`; what it prints goes to `folder/log`."""

    def __init__(self, python: str, sdk_folder: Path, folder: Path, command: str = "work", **environment: str) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(DEADLINE)
        self.folder = folder
        self._log = (folder / "log").open("ab")
        self.process = subprocess.Popen(
            [python, str(sdk_folder), command, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={"PATH": "/usr/bin:/bin", **environment},
            cwd=folder,
        )
        theirs.close()
        self._file = self._ours.makefile("rb")
        self._results: dict[int, Row] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self.process.kill()
        self.process.wait()
        self._log.close()

    def hang_up(self) -> None:
        self._file.close()
        self._ours.close()

    def send(self, frame: Frame, *texts: str) -> None:
        self._ours.sendall(SEPARATOR.join([json.dumps(frame), *texts]).encode() + b"\n")

    def start(self, threads: int = 4, protocol: int = 2, **job: object) -> Frame:
        """Gives the worker's answer: ready or mistake."""
        source = {"file": str(self.folder / "pipeline.py")}
        values = {"id": "j-1", "name": "test", "folder": str(self.folder), "input": None, "parameters": {}, **job}
        start = {"type": "start", "protocol": protocol, "source": source, "job": values, "run": 1, "threads": threads}
        self.send(start)
        return self.receive()

    def receive(self, kind: str = "") -> Frame:
        """The next frame, which must be of this kind if one is named; see `in_rows`."""
        line = self._file.readline()
        assert line, f"the worker closed its socket: {self.log()}"
        assert len(line) <= MAX_FRAME
        document, *texts = line.decode().removesuffix("\n").split(SEPARATOR)
        frame = in_rows(json.loads(document), texts)
        assert not kind or frame["type"] == kind, frame
        return frame

    def tasks(self, *rows: Row) -> None:
        for step, found in itertools.groupby(rows, operator.itemgetter(1)):
            ids, _, keys, items, attempts, payloads, previous, saved = zip(*found, strict=True)
            earlier = list(zip(range(len(ids)), attempts, previous, saved, strict=True))
            frame = {"step": step, "folder": step, "ids": ids, "items": items, "keys": keys, "earlier": earlier}
            self.send({"type": "tasks", **frame}, *payloads)

    def result(self, number: int) -> Row:
        """The row with which this execution ended; waits for it."""
        while number not in self._results:
            for row in self.receive("done")["results"]:
                self._results[row[0]] = row
        return self._results.pop(number)

    def run(self, step: str, item: object = None, number: int = 1, **fields: object) -> Row:
        self.tasks(row(number, step, item, **fields))
        return self.result(number)

    def end(self) -> str:
        """Ends the worker in peace; gives what it logged."""
        self.send({"type": "end"})
        assert self.process.wait(DEADLINE) == 0, self.log()
        return self.log()

    def log(self) -> str:
        return (self.folder / "log").read_text()


def in_rows(frame: Frame, texts: list[str]) -> Frame:
    """`items` with its `children` as [key, payload]; `done` and `ended` as one `done` with its `results` as
    [id, kind, label, result, start_us, end_us, folder, failure(, children)]."""
    kind = frame["type"]
    if kind == "items":
        return {**frame, "children": zipped(frame["keys"], texts)}
    if kind == "done":
        columns = zip(frame["ids"], texts, frame["start_us"], frame["end_us"], strict=True)
        rows = [[number, frame["kind"], frame["label"], *values, "", None] for number, *values in columns]
        return {"type": "done", "results": rows}
    if kind == "ended":
        own = iter(texts)
        rows = [_with_texts(row, own) for row in frame["tasks"]]
        assert not list(own)
        return {"type": "done", "results": rows}
    assert not texts
    return frame


def _with_texts(row: Row, texts: Iterator[str]) -> Row:
    number, kind, label, start_us, end_us, folder, failure, keys = row
    if keys is None:
        return [number, kind, label, next(texts), start_us, end_us, folder, failure]
    children = zipped(keys, list(itertools.islice(texts, len(keys))))
    return [number, kind, label, "", start_us, end_us, folder, failure, children]


def zipped(keys: list[str], payloads: list[str]) -> list[list[str]]:
    return [list(pair) for pair in zip(keys, payloads, strict=True)]


def row(number: int, step: str, item: object = None, **fields: object) -> Row:
    """A task, for `Worker.tasks`."""
    values: dict[str, object] = {
        "key": f"k{number}",
        "item_id": number,
        "attempt": 1,
        "payload": json.dumps(item if item is not None else {}),
        "previous": {},
        "saved": "",
        **fields,
    }
    return [number, step, *values.values()]
