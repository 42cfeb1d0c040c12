"""`milepost` alone: what changed since you last looked, and what needs you.

How far someone has looked is a watch token in the file `last-look` of the state folder: the daemon sends what changed
since then, and says when that is all.
"""

import contextlib
import os
import time
from contextlib import aclosing
from pathlib import Path

from milepost.cli.context import Context
from milepost.cli.documents import document
from milepost.cli.exit_codes import Exit
from milepost.cli.targets import list_jobs
from milepost.cli.text import Cell, state_cell
from milepost.common.client import Client, Disconnected
from milepost.common.text import safe, seconds_words
from milepost.common.words import concern_of, processed_words, reason_words, submit_words, unix_seconds
from milepost.core.attention import NEEDS_SOMEONE, Concern
from milepost.core.model import INPUT_UNUSABLE
from milepost.v1 import job_pb2
from milepost.v1.daemon_service_pb2 import GetInfoRequest

LAST_LOOK = "last-look"
MOST = 10
_PAUSED = "state = PAUSED"
_HEADS = ["ID", "STATE", "PROCESSED", "WHEN", "NAME"]


async def overview(context: Context) -> Exit:
    file = context.settings.state_dir / LAST_LOOK
    before = _read(file)
    async with context.client() as client:
        changed, token = await _changed_since(client, before)
        needy = [job async for job in list_jobs(client, NEEDS_SOMEONE, MOST + 1)]
        paused = [job async for job in list_jobs(client, _PAUSED, MOST + 1)]
        info = await client.call(client.daemon.GetInfo, GetInfoRequest())
    _write(file, token)
    if context.json:
        context.out_json({"changed": [document(job) for job in changed], "needs_you": [document(job) for job in needy]})
        return Exit.DONE
    if before and not changed and not needy:
        context.out("Nothing has changed since you last looked, and nothing needs you.")
    elif not changed and not needy:
        context.out(context.as_called(_WELCOME))
    told_below = {job.id for job in needy}
    others = [job for job in changed if job.id not in told_below]
    if others:
        _out_section(context, "Changed since you last looked" if before else "Newest jobs", others)
    if needy:
        if others:
            context.out("")
        _out_section(context, "Needs you", needy, with_advice=True)
    if paused:
        number = "1 job is" if len(paused) == 1 else f"{_counted(paused)} jobs are"
        context.out(context.as_called(f"{number} paused: milepost ls {_PAUSED}"))
    if info.HasField("paused"):
        context.out(reason_words(info.paused))
    return Exit.DONE


_WELCOME = """\
There are no jobs yet. To begin:
  milepost run pipeline.py --input rows.csv
  milepost run --each urls.txt -- curl -sfO {}
All verbs: milepost --help"""


async def _changed_since(client: Client, token: str) -> tuple[list[job_pb2.Job], str]:
    """Jobs that changed after the token, newest activity first, and the token of now."""
    found: dict[str, job_pb2.Job] = {}
    async with aclosing(client.watch("", token)) as updates:
        async for update in updates:
            if isinstance(update, Disconnected):
                continue
            if update.resync:
                found.clear()
            found.update({job.id: job for job in update.jobs})
            for job_id in update.deleted:
                found.pop(job_id, None)
            token = update.watch_token or token
            if update.caught_up:
                break
    return sorted(found.values(), key=lambda job: unix_seconds(job.activity_time), reverse=True), token


def _out_section(context: Context, title: str, jobs: list[job_pb2.Job], *, with_advice: bool = False) -> None:
    now = time.time()
    context.out(context.paint("bold", title))
    rows = [_row(job, now) for job in jobs[:MOST]]
    if with_advice:
        context.out_table_with_notes([*_HEADS, "DO"], rows, [context.as_called(advice(job)) for job in jobs[:MOST]])
    else:
        context.out_table(_HEADS, rows)
    if len(jobs) > MOST:
        which = f" '{NEEDS_SOMEONE}'" if with_advice else ""
        context.out(context.as_called(f"and more: milepost ls{which}"))


def _counted(jobs: list[job_pb2.Job]) -> str:
    return str(len(jobs)) if len(jobs) <= MOST else f"More than {MOST}"


def _row(job: job_pb2.Job, now: float) -> list[Cell | str]:
    when = f"{seconds_words(now - unix_seconds(job.activity_time))} ago"
    return [job.id, state_cell(job, now), processed_words(job.counts), when, safe(job.name)]


def advice(job: job_pb2.Job) -> str:
    """The one thing a person most likely wants to do about it."""
    match concern_of(job):
        case Concern.FAILED_ITEMS:
            return f"milepost retry {job.id}"
        case Concern.FAILED if job.reason.code == INPUT_UNUSABLE:
            return submit_words(job)
        case Concern.FAILED:
            return f"milepost resume {job.id}"
        case Concern.WAITING if job.reason.remedy:
            return safe(job.reason.remedy)
        case _:
            return f"milepost show {job.id}"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _write(file: Path, token: str) -> None:
    """Not being able to remember is no reason to fail: then more is shown the next time."""
    new = file.with_name(f"{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(token)
        new.replace(file)
