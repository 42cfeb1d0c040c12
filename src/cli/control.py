"""`pause`, `resume`, `restart`, `cancel`, `force-cancel`, `retry`: commands on one job or many.

The daemon decides; these verbs ask where something is destroyed, send, and tell what came of it for each job.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from milepost.cli.context import Context
from milepost.cli.documents import Json, document, error_document
from milepost.cli.exit_codes import EXIT_OF, Exit, worst
from milepost.cli.follow import exit_of, wait_settled
from milepost.cli.parser import Verbs, add_jobs
from milepost.cli.targets import named_or_chosen
from milepost.cli.text import state_cell
from milepost.common.client import COMMANDS_AT_A_TIME, Client
from milepost.common.text import safe, safe_lines
from milepost.common.words import counts_words
from milepost.core.errors import MilepostError
from milepost.v1 import job_pb2
from milepost.v1.job_service_pb2 import (
    CancelJobRequest,
    ForceCancelJobRequest,
    GetJobRequest,
    PauseJobRequest,
    RestartJobRequest,
    ResumeJobRequest,
    RetryTasksRequest,
)


class Answer(Protocol):
    """What the responses of all commands have in common."""

    @property
    def job(self) -> job_pb2.Job: ...
    @property
    def message(self) -> str: ...


@dataclass(frozen=True)
class Told:
    """What came of a command on one job. `more`: what else its response says."""

    name: str
    job: job_pb2.Job | None = None
    message: str = ""
    more: Mapping[str, Json] = field(default_factory=dict)
    error: MilepostError | None = None


Command = Callable[[Client, str], Awaitable[Answer]]


def add_verbs(verbs: Verbs) -> None:
    until_end, until_stopped = "until the job has ended; the exit status tells how", "until it has come to rest"
    verb = verbs.add(
        "pause",
        pause,
        "start nothing new; what is in flight completes, then the job is PAUSED",
        "milepost pause @last\nmilepost pause @last --now --wait\nmilepost pause --filter 'state = RUNNING'",
    )
    add_jobs(verb, until_stopped)
    verb.add_argument("--now", action="store_true", help="kill what is in flight; it runs again after resume")
    verb.add_argument("--reason", default="", help="for the history")

    verb = verbs.add(
        "resume",
        resume,
        "go on at the first task without a checkpoint",
        "milepost resume @last\nmilepost resume --filter 'state = FAILED AND pipeline = creators' --retry-failed",
    )
    add_jobs(verb, until_end)
    verb.add_argument("--retry-failed", action="store_true", help="and run failed items again")

    verb = verbs.add(
        "restart",
        restart,
        "kill the processes of a job and start it again at its checkpoint, or earlier",
        "milepost restart @last\nmilepost restart @last --from score\nmilepost restart @last --from-scratch --yes",
    )
    add_jobs(verb, until_end)
    where = verb.add_mutually_exclusive_group()
    where.add_argument("--from", dest="from_step", metavar="STEP", help="run this step and all after it again")
    where.add_argument("--from-scratch", action="store_true", help="run everything again")
    _add_yes(verb)

    verb = verbs.add(
        "cancel",
        cancel,
        "end a job: what is in flight completes; it can be resumed",
        "milepost cancel @last\nmilepost cancel --filter 'label.team = x' --yes",
    )
    add_jobs(verb, until_stopped)
    verb.add_argument("--reason", default="", help="for the history")
    _add_yes(verb)

    verb = verbs.add(
        "force-cancel",
        force_cancel,
        "end a job at once: its whole process tree is killed; nothing recorded is lost",
        "milepost force-cancel @last --yes",
    )
    add_jobs(verb, until_stopped)
    verb.add_argument("--reason", default="", help="for the history")
    _add_yes(verb)

    verb = verbs.add(
        "retry",
        retry,
        "run failed items again: all, some, or those of one class of error",
        "milepost retry @last\nmilepost retry @last --item ann --item bob\nmilepost retry @last --error-class timeout",
    )
    add_jobs(verb, until_end)
    verb.add_argument("--item", action="append", default=[], metavar="KEY", help="only this item (repeatable)")
    verb.add_argument("--error-class", default="", metavar="CLASS", help="only failures of this class")


def _add_yes(parser: "_HasArguments") -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


class _HasArguments(Protocol):
    def add_argument(self, *names: str, action: str, help: str) -> object: ...  # noqa: A002 - argparse's name


async def pause(context: Context) -> Exit:
    arguments = context.arguments

    async def command(client: Client, job: str) -> Answer:
        request = PauseJobRequest(job=job, now=arguments.now, reason=arguments.reason)
        return await client.call(client.jobs.PauseJob, request)

    return await _on_jobs(context, command, wait_tells_end=False)


async def resume(context: Context) -> Exit:
    async def command(client: Client, job: str) -> Answer:
        request = ResumeJobRequest(job=job, retry_failed=context.arguments.retry_failed)
        return await client.call(client.jobs.ResumeJob, request)

    return await _on_jobs(context, command, wait_tells_end=True)


async def restart(context: Context) -> Exit:
    arguments = context.arguments

    async def command(client: Client, job: str) -> Answer:
        request = RestartJobRequest(job=job)
        if arguments.from_step is not None:
            request.from_step = arguments.from_step
        elif arguments.from_scratch:
            request.from_scratch = True
        return await client.call(client.jobs.RestartJob, request)

    asks = None
    if arguments.from_scratch:
        asks = job_pb2.COMMAND_RESTART_FROM_SCRATCH
    elif arguments.from_step is not None:
        asks = job_pb2.COMMAND_RESTART_FROM_STEP
    return await _on_jobs(context, command, wait_tells_end=True, asks=asks)


async def cancel(context: Context) -> Exit:
    async def command(client: Client, job: str) -> Answer:
        request = CancelJobRequest(job=job, reason=context.arguments.reason)
        return await client.call(client.jobs.CancelJob, request)

    return await _on_jobs(context, command, wait_tells_end=False, asks=job_pb2.COMMAND_CANCEL)


async def force_cancel(context: Context) -> Exit:
    async def command(client: Client, job: str) -> Answer:
        request = ForceCancelJobRequest(job=job, reason=context.arguments.reason)
        return await client.call(client.jobs.ForceCancelJob, request)

    return await _on_jobs(context, command, wait_tells_end=False, asks=job_pb2.COMMAND_FORCE_CANCEL)


async def retry(context: Context) -> Exit:
    arguments = context.arguments

    async def command(client: Client, job: str) -> Answer:
        request = RetryTasksRequest(job=job, item_keys=arguments.item, error_class=arguments.error_class)
        return await client.call(client.jobs.RetryTasks, request)

    return await _on_jobs(context, command, wait_tells_end=True)


async def _on_jobs(
    context: Context, command: Command, *, wait_tells_end: bool, asks: "job_pb2.Command.ValueType | None" = None
) -> Exit:
    arguments = context.arguments
    async with context.client() as client:
        names = await named_or_chosen(client, arguments.jobs, arguments.filter)
        if asks is not None and names and not await _confirmed(context, client, names, asks):
            context.say("Nothing was done.")
            return Exit.INTERRUPTED
        told = await _send(client, names, command)
        if arguments.wait:
            told = await _wait(client, told)
    single = len(names) == 1 and arguments.filter is None
    if single and told[0].error is not None:
        raise told[0].error
    if context.json:
        _out_json(context, told, single=single)
    else:
        _out_lines(context, told, waited=arguments.wait)
    ends = wait_tells_end and arguments.wait
    return worst(EXIT_OF[t.error.code] if t.error else exit_of(t.job) if ends and t.job else Exit.DONE for t in told)


async def _confirmed(context: Context, client: Client, names: list[str], command: "job_pb2.Command.ValueType") -> bool:
    if not context.can_ask or context.arguments.yes:
        return True
    if len(names) > 1:
        return context.confirm(f"This is for {len(names)} jobs. Go on?")
    job = (await client.call(client.jobs.GetJob, GetJobRequest(job=names[0]))).job
    action = next((action for action in job.actions if action.command == command), None)
    if action is None or not action.allowed:
        return True  # the refusal is the daemon's to tell
    return context.confirm(f"{safe(job.name)} ({job.id}): {safe(action.effect)}. Go on?")


async def _send(client: Client, names: list[str], command: Command) -> list[Told]:
    """The same order as the names; a refusal of one does not keep the others."""
    slots = asyncio.Semaphore(COMMANDS_AT_A_TIME)

    async def send(name: str) -> Told:
        async with slots:
            try:
                answer = await command(client, name)
            except MilepostError as error:
                return Told(name, error=error)
        more = {key: getattr(answer, key) for key in ("holding", "retried") if hasattr(answer, key)}
        return Told(name, answer.job, answer.message, more)

    return list(await asyncio.gather(*(send(name) for name in names)))


async def _wait(client: Client, told: list[Told]) -> list[Told]:
    final = await wait_settled(client, [one.job for one in told if one.job is not None])
    return [one if one.job is None else Told(one.name, final[one.job.id], one.message, one.more) for one in told]


def _out_json(context: Context, told: list[Told], *, single: bool) -> None:
    done = [{**document(one.job), "message": one.message, **one.more} for one in told if one.job is not None]
    if single:
        context.out_json(done[0])
        return
    errors = [{"job": one.name, **error_document(one.error)} for one in told if one.error is not None]
    context.out_json({"jobs": done, "errors": errors})


def _out_lines(context: Context, told: list[Told], *, waited: bool) -> None:
    if not told:
        context.say("No job matches.")
    for one in told:
        if one.error is not None:
            context.fail(one.error, one.name)
        if one.job is not None:
            message = context.as_called(safe_lines(one.message)) or state_cell(one.job).text
            context.out(message if one.job.id in message else f"{one.job.id}  {message}")
            if waited:
                cell = state_cell(one.job)
                context.out(f"{one.job.id}  {context.paint(cell.colour, cell.text)}  {counts_words(one.job.counts)}")
