"""The steps of a command pipeline, which the runner executes itself: the enumeration of lines, and the commands."""

import asyncio
import json
import logging
import sys

from milepost.core.retry import CORRUPT_SOURCE
from milepost.runner.children import Children
from milepost.runner.commands import CommandCall, arguments, run_command
from milepost.runner.frames import Result
from milepost.runner.job import Job
from milepost.runner.ledger import Attempt, HeldTask, now_us
from milepost.runner.lines import InputError, read_chunks
from milepost.runner.outbox import Outbox
from milepost.runner.schedule import most_commands
from milepost.v1 import runner_service_pb2 as pb

_LOG = logging.getLogger(__name__)

#: Chunks of an enumeration that are not yet durable.
_WINDOW = 4


class CommandSteps:
    def __init__(self, job: Job, children: Children, outbox: Outbox) -> None:
        self._job = job
        self._children = children
        self._outbox = outbox
        asked, most = max((step.concurrency or 0 for step in job.definition.steps), default=0), most_commands()
        if asked > most:
            _LOG.warning("%d commands run at a time, not %d: for more, raise the limit of open files", most, asked)

    async def execute(self, attempt: Attempt) -> Result:
        """Cancelled, it leaves no process behind."""
        enumerates = self._job.definition.steps[attempt.task.ref.step].enumerates
        failure = await (self._enumerate(attempt) if enumerates else self._run(attempt))
        return Result(
            attempt.id,
            pb.REPORT_KIND_FAILED if failure else pb.REPORT_KIND_SUCCEEDED,
            result_json="" if failure or enumerates else '{"exit_code":0}',
            start_us=attempt.start_us,
            end_us=now_us(),
            failure=failure,
        )

    async def _run(self, attempt: Attempt) -> pb.TaskFailure | None:
        task, step = attempt.task, self._job.definition.steps[attempt.task.ref.step]
        call = CommandCall(
            argv=arguments(self._job.definition.command, _line_of(task)),
            working_directory=self._job.working_directory,
            environment=self._job.command_environment(task),
            tag=f"{step.name} {task.key}",
            timeout=step.timeout,
        )
        return await run_command(self._children, call, sys.stdout.fileno())

    async def _enumerate(self, attempt: Attempt) -> pb.TaskFailure | None:
        if self._job.input is None:
            return _unusable("The job has no input whose lines could be its items.")
        chunks = read_chunks(self._job.input, inline=self._job.is_inline)
        window = asyncio.Semaphore(_WINDOW)
        position = 0
        try:
            while chunk := await asyncio.to_thread(next, chunks, None):
                await window.acquire()
                self._outbox.children(attempt.task.ref, attempt.enumeration, position, chunk, window.release)
                attempt.enumerated = position = position + len(chunk)
                attempt.gets_on()
        except InputError as error:
            return _unusable(str(error))
        except OSError as error:
            return pb.TaskFailure(
                error_class="transient", message=f"The copy of the input cannot be read: {error.strerror}."
            )
        return None


def _line_of(task: HeldTask) -> str:
    """What stands for the item in a command: its line, or the whole item when it was given as an object."""
    payload = json.loads(task.payload_json)
    line = payload.get("line") if isinstance(payload, dict) else None
    return line if isinstance(line, str) else task.payload_json


def _unusable(message: str) -> pb.TaskFailure:
    return pb.TaskFailure(error_class=CORRUPT_SOURCE, message=message, remedy="Correct the input.")
