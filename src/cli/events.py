"""`events` and `logs`: what has happened, and what the pipeline printed."""

import asyncio
import time
from collections.abc import AsyncIterator

from milepost.cli.context import Context
from milepost.cli.documents import document
from milepost.cli.exit_codes import Exit
from milepost.cli.follow import Interrupts, let_go_of_terminal
from milepost.cli.parser import Verbs, add_job, whole_number
from milepost.cli.text import Cell
from milepost.common.client import Client
from milepost.common.text import safe
from milepost.common.words import clock_words
from milepost.v1 import job_pb2
from milepost.v1.job_service_pb2 import ListEventsRequest, TailLogRequest

PAGE = 1000


def add_verbs(verbs: Verbs) -> None:
    listing = verbs.add(
        "events",
        events,
        "the history of a job, or of all: who did what, from where, and what became of it",
        "milepost events @last\nmilepost events --json | jq -r '.events[].message'",
    )
    listing.add_argument("job", nargs="?", default="", metavar="JOB", help="all jobs unless given")
    reading = verbs.add(
        "logs",
        logs,
        "what the pipeline printed, all runs in order",
        "milepost logs @last -n 50\nmilepost logs @last -f",
    )
    add_job(reading)
    reading.add_argument("-f", "--follow", action="store_true", help="go on until the job has ended, or Ctrl+C")
    reading.add_argument(
        "-n",
        "--lines",
        type=whole_number(1, 2**31 - 1),
        default=0,
        metavar="N",
        help="only the last N lines to begin with",
    )


async def events(context: Context) -> Exit:
    async with context.client() as client:
        found = [event async for event in _list_events(client, context.arguments.job)]
    if context.json:
        context.out_json({"events": [document(event) for event in found]})
    elif found:
        now = time.time()
        context.out_table(["TIME", "JOB", "BY", "EVENT", "MESSAGE"], [_row(event, now) for event in found])
    else:
        context.say("Nothing has happened yet.")
    return Exit.DONE


async def _list_events(client: Client, job: str) -> AsyncIterator[job_pb2.Event]:
    token = ""
    while True:
        request = ListEventsRequest(job=job, page_size=PAGE, page_token=token)
        page = await client.call(client.jobs.ListEvents, request)
        for event in page.events:
            yield event
        token = page.next_page_token
        if not token:
            return


def _row(event: job_pb2.Event, now: float) -> list[Cell | str]:
    by = f"{event.by} ({event.client})" if event.client else event.by
    what = event.kind
    if event.to_state:
        to = job_pb2.JobState.Name(event.to_state).removeprefix("JOB_STATE_")
        before = job_pb2.JobState.Name(event.from_state).removeprefix("JOB_STATE_") if event.from_state else ""
        what = f"{before} → {to}".strip()
    return [clock_words(event.event_time, now), event.job_id, safe(by), safe(what), safe(event.message)]


async def logs(context: Context) -> Exit:
    with Interrupts() as interrupts:
        async with context.client() as client:
            printing = asyncio.create_task(_print_log(context, client))
            leaving = asyncio.create_task(interrupts.next())
            done, _ = await asyncio.wait([printing, leaving], return_when=asyncio.FIRST_COMPLETED)
            for task in (printing, leaving):
                task.cancel()
            await asyncio.gather(printing, leaving, return_exceptions=True)
            if printing in done:
                printing.result()
            elif leaving.result().name == "SIGHUP":
                let_go_of_terminal()
    return Exit.DONE


async def _print_log(context: Context, client: Client) -> None:
    arguments = context.arguments
    request = TailLogRequest(job=arguments.job, lines=arguments.lines, follow=arguments.follow)
    async for page in client.stream(client.jobs.TailLog, request):
        for text in page.lines:
            if context.json:
                context.out_json({"line": text})
            else:
                # Otherwise a job could move the cursor, or worse; a tab is harmless, and tables need it.
                context.out(safe(text, keep="\t"))
