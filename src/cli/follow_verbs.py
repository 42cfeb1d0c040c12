"""`attach` and `watch`: looking at jobs that go on by themselves."""

import asyncio
from contextlib import aclosing

from milepost.cli.context import Context
from milepost.cli.display import Lines
from milepost.cli.documents import document
from milepost.cli.exit_codes import Exit
from milepost.cli.follow import Interrupts, OnInterrupt, follow, let_go_of_terminal
from milepost.cli.parser import Verbs, add_job
from milepost.cli.targets import filter_of
from milepost.common.client import Client, Disconnected
from milepost.v1.job_service_pb2 import GetJobRequest, WatchJobsResponse


def add_verbs(verbs: Verbs) -> None:
    attaching = verbs.add(
        "attach",
        attach,
        "follow a job until it ends; Ctrl+C leaves it, and it goes on",
        "milepost attach @last\nmilepost attach j-4k2m",
    )
    add_job(attaching)
    watching = verbs.add(
        "watch",
        watch,
        "a line whenever a job changes, until Ctrl+C; with --json every change",
        "milepost watch\nmilepost watch 'pipeline = creators'\nmilepost watch @last\n"
        "milepost watch --json | jq -r 'select(.state == \"FAILED\") | .id'",
    )
    watching.add_argument(
        "jobs", nargs="*", metavar="JOB", help="jobs to watch, or words of a filter; all unless given"
    )
    watching.add_argument("--filter", metavar="FILTER", help="only jobs that match")


async def attach(context: Context) -> Exit:
    with Interrupts() as interrupts:
        async with context.client() as client:
            found = await client.call(client.jobs.GetJob, GetJobRequest(job=context.arguments.job))
            return await follow(context, client, found.job, interrupts, OnInterrupt.DETACH)


async def watch(context: Context) -> Exit:
    with Interrupts() as interrupts:
        async with context.client() as client:
            wanted = await filter_of(client, context.arguments.jobs, context.arguments.filter)
            showing = asyncio.create_task(_show(context, client, wanted))
            leaving = asyncio.create_task(interrupts.next())
            done, _ = await asyncio.wait([showing, leaving], return_when=asyncio.FIRST_COMPLETED)
            for task in (showing, leaving):
                task.cancel()
            await asyncio.gather(showing, leaving, return_exceptions=True)
            if showing in done:
                showing.result()
            if leaving in done and leaving.result().name == "SIGHUP":
                let_go_of_terminal()
            context.say("Detached; the jobs go on.")
    return Exit.DONE


async def _show(context: Context, client: Client, wanted: str) -> None:
    lines = Lines(context, quiet=False)
    async with aclosing(client.watch(wanted)) as updates:
        async for update in updates:
            if isinstance(update, Disconnected):
                context.say("The daemon does not answer; the watch goes on when it is back.")
            elif context.json:
                _show_json(context, update)
            else:
                for job in update.jobs:
                    lines.update(job)
                for job_id in update.deleted:
                    context.out(f"{job_id}  was removed")


def _show_json(context: Context, update: WatchJobsResponse) -> None:
    for job in update.jobs:
        context.out_json(document(job))
    for job_id in update.left_filter:
        context.out_json({"id": job_id, "left_filter": True})
    for job_id in update.deleted:
        context.out_json({"id": job_id, "deleted": True})
