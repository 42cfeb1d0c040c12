"""Executes tasks: `async def` on the event loop, `def` in a pool of threads, and reports how each ended."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import time
import traceback
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from milepost.sdk import artefacts, output
from milepost.sdk.channel import Channel, Frame, Row, from_line, to_line
from milepost.sdk.classification import failure
from milepost.sdk.enumeration import Children, Enumeration, is_async, items_of
from milepost.sdk.execution import Execution
from milepost.sdk.results import InvalidResult, Outcome, decode, encode
from milepost.sdk.rows import Results
from milepost.sdk.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from milepost.sdk.job import Job
    from milepost.sdk.pipeline import Step


class Session:
    """The tasks of one worker. Its methods run in the loop's thread, except `_run_in_thread` and what that calls."""

    def __init__(
        self,
        job: Job,
        steps: list[Step],
        channel: Channel,
        streams: tuple[output.TaggedStream, ...],
        loop: asyncio.AbstractEventLoop,
        run: int,
        threads: int,
    ) -> None:
        self.job = job
        self.run = run
        self.channel = channel
        self.stop_reason = ""
        self.ended = asyncio.Event()
        self._steps = {step.name: step for step in steps}
        self._streams = streams
        self._loop = loop
        self._threads = concurrent.futures.ThreadPoolExecutor(max(1, threads), "milepost-task")
        self._running: dict[int, Execution] = {}
        self._ended_in_threads: deque[tuple[Execution, Row]] = deque()
        self._is_told = False  # whether the loop knows that some ended in threads: telling it wakes it, at a price
        self._ending = False
        self._handlers: dict[str, Callable[[Frame], None]] = {
            "cancel": self._cancel,
            "stopping": self._stopping,
            "answer": channel.answered,
            "saved_ack": channel.answered,
            "items_ack": self._items_acknowledged,
            "ping": self._ping,
            "end": self._end,
        }

    def handle(self, line: bytes) -> None:
        """Acts on one frame of the runner. Raises ValueError or KeyError for what is no frame of the protocol."""
        frame, texts = from_line(line)
        if frame["type"] == "tasks":
            self._start(frame, texts)
        else:
            self._handlers[frame["type"]](frame)

    def _start(self, frame: Frame, payloads: list[str]) -> None:
        name, folder = frame["step"], frame["folder"]
        step = self._steps.get(name)
        if step is None:
            for number in frame["ids"]:
                self.channel.finish(_unknown_step(number, name))
            return
        columns = zip(frame["ids"], frame["items"], frame["keys"], payloads)
        executions = [Execution(self, step, folder, *values) for values in columns]
        for index, attempt, previous_json, saved_json in frame["earlier"]:
            executions[index].remember(attempt, previous_json, saved_json)
        for execution in executions:
            self._running[execution.id] = execution
            if step.executor == "async":
                execution.handle = asyncio.Task(self._run_on_loop(execution), loop=self._loop)
            else:
                context = contextvars.copy_context()
                execution.handle = self._threads.submit(context.run, self._run_in_thread, execution)
                execution.handle.add_done_callback(_die_of_own_error)

    def _cancel(self, frame: Frame) -> None:
        for number in frame["ids"]:
            execution = self._running.get(number)
            if execution is None or not execution.working:
                continue
            execution.cancel_reason = frame.get("reason") or "cancelled"
            if execution.step.executor == "async":
                # Before its first step a coroutine would be dropped unseen: it looks at the reason itself then.
                if execution.started:
                    execution.handle.cancel()
            elif execution.handle.cancel():
                self._has_ended(execution, _row(execution, "RETURNED"))

    def _stopping(self, frame: Frame) -> None:
        self.stop_reason = frame["reason"]

    def _items_acknowledged(self, frame: Frame) -> None:
        execution = self._running.get(frame["id"])
        if execution is not None and execution.enumeration is not None:
            execution.enumeration.acknowledged(frame["next"])

    def _ping(self, frame: Frame) -> None:
        # Behind the first steps of the tasks that came before it: they have begun when the answer is read.
        self._loop.call_soon(self.channel.send, to_line({"type": "pong", "n": frame.get("n")}))

    def _end(self, _frame: Frame) -> None:
        self._ending = True
        if not self._running:
            self.ended.set()

    def _has_ended(self, execution: Execution, row: Row) -> None:
        del self._running[execution.id]
        execution.handle = None  # whose context holds the execution: in a circle both would wait for the collector
        for stream in self._streams:
            if stream.unfinished:
                stream.end(execution.tag)
        self.channel.finish(row)
        if self._ending and not self._running:
            self.ended.set()

    async def _run_on_loop(self, execution: Execution) -> None:
        output.current.set(execution)
        execution.started = time.time_ns() // 1000
        step = execution.step
        try:
            if execution.cancel_reason:
                raise asyncio.CancelledError  # noqa: TRY301
            if step.enumerates:
                row = await self._enumerate_on_loop(execution)
            else:
                value = step.function(_argument(execution), Task(execution))
                if step.gives == "many" and is_async(value):
                    value = _collected(execution, value)
                row = _succeeded(execution, await value)
            if execution.partial_folder is not None:
                execution.working = False
                row[6] = await self._loop.run_in_executor(None, artefacts.publish, execution)
        except BaseException as error:  # noqa: BLE001 (whatever an author's code raises is the task's end, not ours)
            row = _failed(execution, error)
        self._has_ended(execution, row)

    def _run_in_thread(self, execution: Execution) -> None:
        output.current.set(execution)
        execution.started = time.time_ns() // 1000
        step = execution.step
        try:
            if step.enumerates:
                row = _enumerate_in_thread(execution, step.function(self.job))
            else:
                row = _succeeded(execution, step.function(_argument(execution), Task(execution)))
            execution.working = False
            row[6] = artefacts.publish(execution)
        except BaseException as error:  # noqa: BLE001 (as above)
            row = _failed(execution, error)
        self._ended_in_threads.append((execution, row))
        if not self._is_told:
            self._is_told = True
            self._loop.call_soon_threadsafe(self._take_ended)

    def _take_ended(self) -> None:
        self._is_told = False  # before it looks: what a thread adds from now on, it tells again
        while self._ended_in_threads:
            self._has_ended(*self._ended_in_threads.popleft())

    async def _enumerate_on_loop(self, execution: Execution) -> Row:
        value = execution.step.function(self.job)
        if not is_async(value):
            value = await value
        enumeration = execution.enumeration = Enumeration(execution)
        if is_async(value):
            async for item in value:
                if enumeration.add(item):
                    await _send(enumeration)
        else:
            for item in items_of(value):
                if enumeration.add(item):
                    await _send(enumeration)
        await _send(enumeration)
        return _row(execution, "SUCCEEDED")


async def _send(enumeration: Enumeration) -> None:
    room = enumeration.room()
    if room is not None:
        await asyncio.wrap_future(room)
    enumeration.send()


def _enumerate_in_thread(execution: Execution, value: object) -> Row:
    enumeration = execution.enumeration = Enumeration(execution)
    for item in items_of(value):
        if execution.cancel_reason:
            raise asyncio.CancelledError
        if enumeration.add(item):
            _send_from_thread(enumeration)
    _send_from_thread(enumeration)
    return _row(execution, "SUCCEEDED")


def _send_from_thread(enumeration: Enumeration) -> None:
    room = enumeration.room()
    if room is not None:
        room.result()
    enumeration.send()


async def _collected(execution: Execution, value: Any) -> Children:  # Any: the author's async generator
    children = Children(execution)
    async for child in value:
        children.add(child)
    return children


def _argument(execution: Execution) -> object:
    return Results(execution) if execution.step.takes == "all" else decode(execution.payload_json)


def _succeeded(execution: Execution, value: object) -> Row:
    kind, label = "SUCCEEDED", ""
    if isinstance(value, Outcome):
        kind, label, value = value.kind, value.label, value.result
    if execution.step.gives == "one":
        return _row(execution, kind, label, "" if value is None else encode(value))
    if kind == "SKIPPED":
        return _row(execution, kind, label, "" if value is None else encode(value))
    children = _children(execution, value)
    return [*_row(execution, kind, label), children.keys, children.payloads]


def _children(execution: Execution, value: object) -> Children:
    if isinstance(value, Children):
        return value
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, dict)):
        raise InvalidResult(
            f'The step gives="many", but returned a {type(value).__name__}.',
            "Return or yield dicts, one for each child.",
        )
    children = Children(execution)
    for child in value:
        children.add(child)
    return children


def _failed(execution: Execution, error: BaseException) -> Row:
    if execution.cancel_reason and execution.working:
        return _row(execution, "RETURNED")
    row = _row(execution, "FAILED")
    row[7] = failure(error)
    return row


def _row(execution: Execution, kind: str, label: str = "", result_json: str = "") -> Row:
    now = time.time_ns() // 1000
    return [execution.id, kind, label, result_json, execution.started or now, now, "", None]


def _unknown_step(number: int, name: str) -> Row:
    now = time.time_ns() // 1000
    error = InvalidResult(
        f"The pipeline has no step {name!r}.", "It was there at submit: undo its renaming, or submit again.", "bug"
    )
    return [number, "FAILED", "", "", now, now, "", failure(error)]


def _die_of_own_error(future: concurrent.futures.Future[None]) -> None:
    """After an error of this module's own the task would seem to run for ever: the worker ends, the runner sees it."""
    error = None if future.cancelled() else future.exception()
    if error is not None:
        traceback.print_exception(type(error), error, error.__traceback__)
        os._exit(70)
