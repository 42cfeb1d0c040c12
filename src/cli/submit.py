"""`run` and `submit`: a pipeline becomes a job."""

import argparse
import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path

from milepost.cli.context import Context
from milepost.cli.documents import document
from milepost.cli.exit_codes import Exit
from milepost.cli.follow import Interrupts, OnInterrupt, exit_of, follow, let_go_of_terminal, tell_end, wait_settled
from milepost.cli.parser import Verbs, pair, whole_number
from milepost.cli.submit_input import readable_by_daemon
from milepost.cli.submit_request import build_request
from milepost.common.client import Client
from milepost.common.text import safe, safe_lines
from milepost.core.errors import Code, MilepostError
from milepost.v1.job_service_pb2 import SubmitJobRequest, SubmitJobResponse

#: Importing the pipeline takes up to 30 s, copying a large input may take longer.
SUBMIT_DEADLINE = 600.0

_EXAMPLES = """\
milepost {verb} pipeline.py --input rows.csv
milepost {verb} pipeline.py:creators --input rows.csv --param limit=10 --label team=x
milepost {verb} my_package.pipelines:nightly --queue nightly --priority 5
milepost {verb} --each urls.txt -j 8 --attempts 5 --timeout 60 -- curl -sfO {{}}"""


def add_verbs(verbs: Verbs) -> None:
    running = verbs.add(
        "run",
        run,
        "submit a job and follow it until it ends; Ctrl+C pauses it, a second one cancels it by force",
        _EXAMPLES.format(verb="run"),
    )
    submitting = verbs.add(
        "submit", submit, "submit a job and return; it goes on by itself", _EXAMPLES.format(verb="submit")
    )
    submitting.add_argument("--wait", action="store_true", help="wait until the job has ended")
    for parser in (running, submitting):
        _add_arguments(parser)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(takes_command=True)
    parser.add_argument(
        "pipeline",
        nargs="?",
        metavar="PIPELINE",
        help="path/to/file.py[:name], which runs from its own folder; or package.module[:name], from the current one",
    )
    parser.add_argument(
        "--each",
        metavar="FILE",
        help="a command for each line of FILE; {} stands for the line, which is added at the end where there is no {}",
    )
    parser.add_argument(
        "-j",
        "--concurrency",
        type=whole_number(1, 10_000),
        help="with --each: how many at a time (as many as there are cores)",
    )
    parser.add_argument("--attempts", type=whole_number(1, 1000), help="with --each: attempts for each line (3)")
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="with --each: time for one attempt")
    parser.add_argument("--input", metavar="FILE", help="input of the pipeline; it is copied into the job")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        type=pair,
        metavar="NAME=VALUE",
        help="a parameter; the value is JSON if it parses as such, else text (repeatable)",
    )
    parser.add_argument("--name", help="name of the job; the pipeline's unless given")
    parser.add_argument(
        "--label", action="append", default=[], type=pair, metavar="NAME=VALUE", help="for filters (repeatable)"
    )
    parser.add_argument("--queue", help="queue, with its own limit of running jobs (default)")
    parser.add_argument("--priority", type=whole_number(-(2**31), 2**31 - 1), default=0, help="higher runs first (0)")
    parser.add_argument(
        "--python",
        metavar="INTERPRETER",
        help="interpreter of the pipeline; else the active virtual environment, else the nearest .venv",
    )
    parser.add_argument("--allow-duplicate", action="store_true", help="even if the same job is unfinished")
    parser.add_argument(
        "--on-runner-lost",
        choices=("resume", "hold"),
        default="resume",
        help="what the job does when its runner dies: go on by itself (default), or wait for you",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


async def submit(context: Context) -> Exit:
    with ExitStack() as stack:
        request = _request(context, stack)
        async with context.client() as client:
            response = await client.call(client.jobs.SubmitJob, request, SUBMIT_DEADLINE)
            _tell_omitted(context, request)
            if context.arguments.wait:
                job = (await wait_settled(client, [response.job]))[response.job.id]
                tell_end(context, job)
                return exit_of(job)
    if context.json:
        context.out_json({**document(response.job), "message": response.message})
    else:
        context.out(response.job.id)
        context.say(context.as_called(f"{_submitted(response)} To follow it: milepost attach {response.job.id}"))
    return Exit.DONE


async def run(context: Context) -> Exit:
    with ExitStack() as stack, Interrupts() as interrupts:
        request = _request(context, stack)
        async with context.client() as client:
            response = await _submit_or_give_up(context, client, request, interrupts)
            _tell_omitted(context, request)
            context.say(context.as_called(_submitted(response)))
            return await follow(context, client, response.job, interrupts, OnInterrupt.PAUSE)


def _request(context: Context, stack: ExitStack) -> SubmitJobRequest:
    request = build_request(context.arguments, context.environ, Path.cwd())
    if request.input_path:
        request.input_path = stack.enter_context(readable_by_daemon(Path(request.input_path)))
    return request


def _submitted(response: SubmitJobResponse) -> str:
    return safe_lines(response.message) or f"Submitted {safe(response.job.name)} as {response.job.id}."


def _tell_omitted(context: Context, request: SubmitJobRequest) -> None:
    if request.omitted_variables:
        names = ", ".join(safe(name) for name in request.omitted_variables)
        context.say(f"note: left out of the job's environment, because they look like secrets: {names}")


async def _submit_or_give_up(
    context: Context, client: Client, request: SubmitJobRequest, interrupts: Interrupts
) -> SubmitJobResponse:
    """A Ctrl+C before the job exists takes effect as soon as it does; a second one gives up waiting for it."""
    submitting = asyncio.create_task(client.call(client.jobs.SubmitJob, request, SUBMIT_DEADLINE))
    early: list[signal.Signals] = []
    try:
        while not submitting.done():
            listening = asyncio.create_task(interrupts.next())
            await asyncio.wait([submitting, listening], return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                listening.cancel()
                break
            if listening.result() is signal.SIGHUP:
                let_go_of_terminal()
            early.append(listening.result())
            if early.count(signal.SIGINT) + early.count(signal.SIGTERM) > 1:
                raise MilepostError(
                    Code.TIMED_OUT,
                    "Gave up before the daemon had answered; the job may exist all the same.",
                    "See: milepost ls --limit 1",
                )
            context.say("Pausing as soon as the job is recorded; Ctrl+C again gives up.")
        response = await submitting
    finally:
        submitting.cancel()
    for number in early:
        interrupts.put_back(number)
    return response
