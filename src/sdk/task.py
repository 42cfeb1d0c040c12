"""The task as its step's function sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from milepost.sdk.rows import StepResults

if TYPE_CHECKING:
    import concurrent.futures
    import logging
    from collections.abc import Generator
    from pathlib import Path

    from milepost.sdk.execution import Execution
    from milepost.sdk.job import Job


class Task:
    """The second argument of every step's function."""

    __slots__ = ("_execution",)

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    @property
    def key(self) -> str:
        """The item's key; "" for the job as a whole."""
        return self._execution.key

    @property
    def step(self) -> str:
        return self._execution.step.name

    @property
    def item_id(self) -> Any:  # Any: an opaque id
        return self._execution.item_id

    @property
    def attempt(self) -> int:
        """1 for the first. An interruption (pause, restart, lost worker) does not count."""
        return self._execution.attempt

    @property
    def idempotency_key(self) -> str:
        """`job/step/item`: the same in every attempt, for side effects that must not happen twice."""
        execution = self._execution
        return f"{execution.session.job.id}/{execution.step.name}/{execution.item_id}"

    @property
    def job(self) -> Job:
        return self._execution.session.job

    @property
    def previous(self) -> StepResults:
        """What the earlier steps returned for this item, by step name: `task.previous["fetch"]`."""
        return StepResults(self._execution.previous_json)

    @property
    def artefacts(self) -> Path:
        """A folder for this task's files, made when first asked for.

        It is there to stay only if the task succeeds: made durable, then renamed to its final place, then read-only.
        Write below it; do not keep its path, for it changes.
        """
        from milepost.sdk import artefacts

        return artefacts.folder_for(self._execution)

    @property
    def cache(self) -> Path:
        """A folder that all tasks of the job share; it may be cleared at any time between runs."""
        from milepost.sdk import artefacts

        folder = self.job.folder / "cache"
        artefacts.make_private(folder)
        return folder

    @property
    def logger(self) -> logging.Logger:
        """Writes to the run's log, each line tagged with step and key; from level INFO."""
        import logging

        return logging.getLogger("milepost.task")

    @property
    def saved(self) -> Any:  # Any: what the author gave to save()
        """The state that `save` kept last, in this attempt or an earlier one; None when there is none."""
        text = self._execution.saved_json
        return json.loads(text) if text else None

    def save(self, state: object) -> Saving:
        """Keeps a small state (JSON, at most 64 KiB) that the task finds in `task.saved` when it runs again.

        In an `async def` step write `await task.save(state)`; in a `def` step `task.save(state)` returns when the
        state is durable. Raises InvalidResult for a state that cannot be kept.
        """
        from milepost.sdk.results import encode

        execution = self._execution
        channel = execution.session.channel
        text = encode(state, "The state given to task.save()")
        future = channel.ask({"type": "save", "id": execution.id, "state": text})
        execution.saved_json = text
        if not channel.on_loop:
            future.result()
        return Saving(future)

    def should_stop(self) -> str:
        """Why this task should come to an end soon, in words; "" while it need not.

        What the task returns counts as its result: a task that cannot finish saves its state and goes on.
        """
        return self._execution.cancel_reason or self._execution.session.stop_reason


class Saving:
    """A save on its way; awaiting it returns once the state is durable."""

    __slots__ = ("_future",)

    def __init__(self, future: concurrent.futures.Future[Any]) -> None:  # Any: the runner's answer
        self._future = future

    def __await__(self) -> Generator[Any, None, None]:
        import asyncio

        if not self._future.done():
            yield from asyncio.wrap_future(self._future)
