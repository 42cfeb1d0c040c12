"""`ls`, `show`, `path`, `inspect`: jobs as they stand now."""

import time

from milepost.cli.context import Context
from milepost.cli.documents import document
from milepost.cli.exit_codes import Exit
from milepost.cli.filter_help import HELP
from milepost.cli.parser import Verbs, add_job, whole_number
from milepost.cli.targets import list_jobs
from milepost.cli.text import Cell, state_cell
from milepost.common.text import safe, safe_lines, seconds_words
from milepost.common.words import processed_words, reason_words, unix_seconds
from milepost.core.errors import Code
from milepost.v1 import job_pb2
from milepost.v1.job_service_pb2 import GetJobRequest, InspectJobRequest


def add_verbs(verbs: Verbs) -> None:
    listing = verbs.add(
        "ls",
        ls,
        "list jobs, newest first",
        f"milepost ls\nmilepost ls state = FAILED\nmilepost ls 'pipeline = creators AND failed > 0'\n"
        f"milepost ls --json | jq -r '.jobs[].id'\n\nfilters:\n{HELP}",
    )
    listing.add_argument("words", nargs="*", metavar="FILTER", help="only jobs that match")
    listing.add_argument("--filter", metavar="FILTER", help="the same, as one argument")
    listing.add_argument(
        "-n", "--limit", type=whole_number(0, 1_000_000), default=100, metavar="N", help="at most N; 0 for all (100)"
    )
    showing = verbs.add(
        "show",
        show,
        "all about a job: steps, reason, what is in flight, what you can do",
        "milepost show @last\nmilepost show creators\nmilepost show j-4k --json | jq .steps",
    )
    showing.add_argument("jobs", nargs="+", metavar="JOB", help="id, unique prefix of one, unique name, or @last")
    add_job(verbs.add("path", path, "print the folder of a job: input, logs, artefacts", 'cd "$(milepost path @last)"'))
    add_job(
        verbs.add(
            "inspect",
            inspect,
            "what the processes of a running job are doing: tree and stacks",
            "milepost inspect @last",
        )
    )


async def ls(context: Context) -> Exit:
    words = " ".join(context.arguments.words)
    parts = [part for part in (words, context.arguments.filter) if part and part.strip()]
    text = " AND ".join(f"({part})" for part in parts) if len(parts) > 1 else "".join(parts)
    limit = context.arguments.limit
    async with context.client() as client:
        found = [job async for job in list_jobs(client, text, limit)]
    if context.json:
        context.out_json({"jobs": [document(job) for job in found]})
    elif found:
        now = time.time()
        heads = ["ID", "STATE", "PROCESSED", "AGE", "QUEUE", "NAME"]
        context.out_table(heads, [_row(job, now) for job in found])
        held = next((job for job in found if job.reason.code == Code.PAUSE_FILE), None)
        if held is not None:
            context.say(f"note: {reason_words(held.reason)}")
    else:
        context.say("No job matches." if text else "There are no jobs yet: milepost run --help")
    if limit and len(found) == limit:
        context.say(f"note: the newest {limit}; --limit 0 lists all.")
    return Exit.DONE


def _row(job: job_pb2.Job, now: float) -> list[Cell | str]:
    age = seconds_words(now - unix_seconds(job.create_time))
    return [job.id, state_cell(job, now), processed_words(job.counts), age, safe(job.queue), safe(job.name)]


async def show(context: Context) -> Exit:
    names = context.arguments.jobs
    async with context.client() as client:
        found = [(await client.call(client.jobs.GetJob, GetJobRequest(job=name))).job for name in names]
    if context.json:
        documents = [document(job) for job in found]
        context.out_json(documents[0] if len(documents) == 1 else {"jobs": documents})
        return Exit.DONE
    from milepost.cli.describe import describe  # the longest of the words, and only these need it

    for number, job in enumerate(found):
        if number:
            context.out("")
        describe(context, job)
    return Exit.DONE


async def path(context: Context) -> Exit:
    async with context.client() as client:
        found = await client.call(client.jobs.GetJob, GetJobRequest(job=context.arguments.job))
    if context.json:
        context.out_json({"id": found.job.id, "folder": found.job.folder})
    else:
        context.out(found.job.folder)
    return Exit.DONE


async def inspect(context: Context) -> Exit:
    async with context.client() as client:
        found = await client.call(client.jobs.InspectJob, InspectJobRequest(job=context.arguments.job))
    if context.json:
        context.out_json(document(found))
        return Exit.DONE
    if not found.processes:
        context.out(f"{found.job.id} has no process: it is {state_cell(found.job).text}.")
        return Exit.DONE
    rows: list[list[Cell | str]] = [
        [str(p.pid), str(p.parent_pid), p.role or "", p.state, f"{p.rss_bytes // 2**20} MB", safe(p.command)]
        for p in found.processes
    ]
    context.out_table(["PID", "PARENT", "ROLE", "STATE", "MEMORY", "COMMAND"], rows)
    for process in found.processes:
        if process.stacks:
            context.out(f"\nstacks of {process.pid}:\n{safe_lines(process.stacks).rstrip()}")
    return Exit.DONE
