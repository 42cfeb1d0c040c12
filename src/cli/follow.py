"""Following jobs until they have settled: the watch, the signals, and what they mean together.

Settled is a job that goes on only when someone asks for it, or never: PAUSED, WAITING, CANCELLED, COMPLETED, FAILED.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Collection
from contextlib import aclosing
from enum import Enum
from types import TracebackType
from typing import Self

from milepost.cli.context import Context
from milepost.cli.display import Display, display_for
from milepost.cli.exit_codes import Exit
from milepost.cli.text import state_cell
from milepost.common.client import Client, Disconnected
from milepost.common.text import safe
from milepost.common.words import counts_words, empty_words, outcomes_words, reason_words, state_name, submit_words
from milepost.core.errors import MilepostError
from milepost.core.model import INPUT_UNUSABLE
from milepost.v1 import job_pb2
from milepost.v1.job_service_pb2 import ForceCancelJobRequest, PauseJobRequest

SETTLED = frozenset({"PAUSED", "WAITING", "CANCELLED", "COMPLETED", "FAILED"})
#: Beyond this many the filter by id would be too long: then every job is watched.
_MOST_IDS_IN_FILTER = 50


class OnInterrupt(Enum):
    """What Ctrl+C means: `run` owns its job, `attach` only looks."""

    PAUSE = "pause"
    DETACH = "detach"


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP in the order they come, instead of ending the process."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._handled: list[signal.Signals] = []

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                loop.add_signal_handler(number, self._came.put_nowait, number)
                self._handled.append(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in self._handled:
            asyncio.get_running_loop().remove_signal_handler(number)

    async def next(self) -> signal.Signals:
        return await self._came.get()

    def put_back(self, number: signal.Signals) -> None:
        self._came.put_nowait(number)


def let_go_of_terminal() -> None:
    """After SIGHUP nothing can be written there any more, and trying would be an error."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def settled(job: job_pb2.Job) -> bool:
    return state_name(job) in SETTLED


def exit_of(job: job_pb2.Job) -> Exit:
    """What a settled job means to a script that waited for it."""
    if state_name(job) != "COMPLETED":
        return Exit.JOB_FAILED
    return Exit.COMPLETED_WITH_FAILURES if job.counts.failed else Exit.DONE


async def wait_settled(client: Client, jobs: Collection[job_pb2.Job]) -> dict[str, job_pb2.Job]:
    """The jobs once they have settled, by id; one that is removed meanwhile stays as it was last seen."""
    found = {job.id: job for job in jobs}
    moving = {job.id for job in jobs if not settled(job)}
    by_id = " OR ".join(f"id = {job_id}" for job_id in moving) if len(moving) <= _MOST_IDS_IN_FILTER else ""
    if not moving:
        return found
    async with aclosing(client.watch(by_id)) as updates:
        async for update in updates:
            if isinstance(update, Disconnected):
                continue
            for job in update.jobs:
                if job.id in moving and job.revision >= found[job.id].revision:
                    found[job.id] = job
                    if settled(job):
                        moving.discard(job.id)
            moving.difference_update(update.deleted)
            if not moving:
                break
    return found


async def follow(
    context: Context, client: Client, job: job_pb2.Job, interrupts: Interrupts, meaning: OnInterrupt
) -> Exit:
    """Shows the job's progress until it has settled, or the person has left it; then tells how it stands."""
    with display_for(context) as display:
        follower = _Follower(client, job, display, interrupts, meaning)
        await follower.until_end()
    if follower.hung_up:
        return Exit.DONE
    if follower.detached:
        context.say(context.as_called(f"Detached; {job.id} goes on. To follow it again: milepost attach {job.id}"))
        return Exit.DONE
    tell_end(context, follower.job)
    asked_for = follower.interrupted and state_name(follower.job) in ("PAUSED", "CANCELLED")
    return Exit.INTERRUPTED if asked_for else exit_of(follower.job)


class _Follower:
    """One job on one display. `job` is its last known state."""

    def __init__(
        self, client: Client, job: job_pb2.Job, display: Display, interrupts: Interrupts, meaning: OnInterrupt
    ) -> None:
        self.job = job
        self.interrupted = 0
        self.detached = False
        self.hung_up = False
        self._client = client
        self._display = display
        self._interrupts = interrupts
        self._meaning = meaning

    async def until_end(self) -> None:
        self._display.update(self.job)
        if settled(self.job):
            return
        # Ends with the first of them: the job has settled, or the person has left.
        tasks = [asyncio.create_task(self._until_settled()), asyncio.create_task(self._until_left())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _until_settled(self) -> None:
        lost = False
        async with aclosing(self._client.watch(f"id = {self.job.id}")) as updates:
            async for update in updates:
                if isinstance(update, Disconnected):
                    self._display.note("The daemon does not answer; the job goes on, and so does this when it is back.")
                    lost = True
                    continue
                if lost:
                    self._display.note("The daemon is back.")
                    lost = False
                for job in update.jobs:
                    if job.id == self.job.id and job.revision >= self.job.revision:
                        self.job = job
                        self._display.update(job)
                if self.job.id in update.deleted:
                    self._display.note("The job was removed.")
                    return
                if settled(self.job):
                    return

    async def _until_left(self) -> None:
        async with asyncio.TaskGroup() as commands:
            while True:
                number = await self._interrupts.next()
                if number is signal.SIGHUP:
                    let_go_of_terminal()
                    self.hung_up = True
                    return
                if self._meaning is OnInterrupt.DETACH:
                    self.detached = True
                    return
                self.interrupted += 1
                if self.interrupted == 1:
                    commands.create_task(self._pause())
                elif self.interrupted == 2:
                    commands.create_task(self._force_cancel())

    async def _pause(self) -> None:
        self._display.note("Pausing: nothing new starts. Press Ctrl+C again to cancel by force.")
        request = PauseJobRequest(job=self.job.id, reason="interrupted in the terminal")
        try:
            answer = await self._client.call(self._client.jobs.PauseJob, request)
        except MilepostError as error:
            self._display.note(safe(str(error)))
            return
        if not settled(answer.job):
            self._display.note(in_flight_words(answer.job))

    async def _force_cancel(self) -> None:
        self._display.note("Cancelling by force: what is in flight is killed.")
        request = ForceCancelJobRequest(job=self.job.id, reason="interrupted twice in the terminal")
        try:
            await self._client.call(self._client.jobs.ForceCancelJob, request)
        except MilepostError as error:
            self._display.note(safe(str(error)))


def in_flight_words(job: job_pb2.Job) -> str:
    """What a pause still waits for, and how to go on."""
    number = job.counts.in_flight or len(job.in_flight)
    named = ", ".join(f"{safe(task.step)} {safe(task.item_key)}".strip() for task in job.in_flight[:3])
    more = ", …" if len(job.in_flight) > 3 else ""
    names = f" ({named}{more})" if named else ""
    tasks = "1 task is" if number == 1 else f"{number} tasks are"
    return f"{tasks} still in flight{names}; they complete first. To go on later: milepost resume {job.id}"


def tell_end(context: Context, job: job_pb2.Job) -> None:
    """How a settled job stands, where its things lie, and what to do next."""
    if context.json:
        from milepost.cli.documents import document

        context.out_json(document(job))
        return
    cell = state_cell(job)
    context.out(f"{context.paint(cell.colour, cell.text)}  {safe(job.name)} ({job.id}): {counts_words(job.counts)}")
    if job.outcomes:
        context.out(f"  outcomes  {outcomes_words(job.outcomes)}")
    if empty := empty_words(job):
        context.out(f"  warning   {empty}")
    if job.HasField("reason") and job.reason.message:
        context.out(f"  reason    {reason_words(job.reason)}")
    context.out(f"  folder    {safe(job.folder)}")
    for advice in next_steps(job):
        context.out(f"  next      {context.as_called(advice)}")
    sys.stdout.flush()


def next_steps(job: job_pb2.Job) -> list[str]:
    state, failed = state_name(job), job.counts.failed
    steps = []
    if job.reason.code == INPUT_UNUSABLE:
        steps.append(submit_words(job))
    elif state in ("PAUSED", "CANCELLED", "FAILED"):
        steps.append(f"milepost resume {job.id}")
    if failed:
        steps.append(f"milepost items {job.id} --state failed")
    if failed and state in ("COMPLETED", "PAUSED", "CANCELLED", "FAILED"):
        steps.append(f"milepost retry {job.id}")
    if state == "FAILED":
        steps.append(f"milepost logs {job.id}")
    if state == "COMPLETED":
        steps.append(f"milepost results {job.id}")
    return steps
