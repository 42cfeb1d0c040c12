"""A submit becomes a job: its pipeline is described, its input copied, then one transaction records it.

Until that transaction nothing of it counts. What a crash leaves behind before is a folder without a row, which holds
nothing but a copy of the input; `remove_orphan_folders` removes it.
"""

import asyncio
import hashlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from milepost.common.edges import edge
from milepost.core import definition as definitions
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.lifecycle import held_by_file
from milepost.core.model import Event, InputFile, Job, JobState, RunnerLostPolicy
from milepost.core.queueing import DEFAULT_QUEUE, Limits
from milepost.daemon import inputs
from milepost.daemon.circumstances import pause_file
from milepost.daemon.describe import Surroundings, describe
from milepost.daemon.inputs import verify_input
from milepost.daemon.sdk_copy import sync_folder
from milepost.daemon.store import events, jobs, queue, requests
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.store import Store

__all__ = ["CommandLine", "Submission", "Submit", "Submitted", "remove_orphan_folders", "verify_input"]

_RPC = "SubmitJob"
_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_FOLDER = re.compile(r"(?P<new>\.new-)?(?P<id>j-[a-z2-7]{8})")

T = TypeVar("T")


@dataclass(frozen=True)
class CommandLine:
    """A command for each line of the input. 0 stands for the default: number of cores, 3 attempts, no limit."""

    argv: tuple[str, ...]
    concurrency: int = 0
    attempts: int = 0
    timeout: float = 0.0


@dataclass(frozen=True)
class Submission:
    """What is to be submitted, checked by itself. `source`: {"file"} or {"module"}, and "name", or a command line."""

    source: Mapping[str, str] | CommandLine
    by: str
    client: str
    request_id: str = ""
    payload_hash: str = ""
    input_path: Path | None = None
    items_json: tuple[str, ...] | None = None
    parameters_json: str = "{}"
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    start_time: float | None = None
    runner_lost_policy: RunnerLostPolicy = RunnerLostPolicy.RESUME
    uniqueness_key: str = ""
    allow_duplicate: bool = False
    python: str = ""
    working_directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    omitted_variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submitted:
    """The answer; it is kept under the request's id."""

    job_id: str
    message: str


class Submit:
    """`submitted()` is called when there is a new job; `sdk_folder`: what the pipeline's interpreter runs;
    `timeouts`: seconds by kind of operation."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        sdk_folder: Path,
        timeouts: Mapping[str, float],
        submitted: Callable[[], None],
        limits: Limits,
    ) -> None:
        self._store = store
        self._jobs = folder / "jobs"
        self._sdk_folder = sdk_folder
        self._timeouts = timeouts
        self._submitted = submitted
        self._limits = limits

    async def submit(self, submission: Submission) -> Submitted:
        """Raises MilepostError: those of `describe`, `inputs` and `core.definition`, and DUPLICATE_JOB."""
        answer = await self._store.read(lambda db: _recall(db, submission))
        if answer is not None:
            return answer
        surroundings = _surroundings(submission)
        definition = await self._definition(submission, surroundings)
        job_id = _new_id()
        folder = self._jobs / f".new-{job_id}"
        try:
            copy = await _to_the_end(asyncio.to_thread(_make_folder, folder, submission))
            await _to_the_end(asyncio.to_thread(_publish, folder))
            job = _job(job_id, submission, definition, surroundings, copy, time.time())
            answer = await _to_the_end(
                self._store.write(lambda tx: _record(tx, submission, job, definition, self._waits))
            )
        finally:
            await asyncio.shield(self._discard_unless_recorded(job_id))
        self._submitted()
        return answer

    async def _definition(self, submission: Submission, surroundings: Surroundings) -> PipelineDefinition:
        source = submission.source
        if isinstance(source, CommandLine):
            _check_command(source, submission, surroundings)
            concurrency = source.concurrency or len(os.sched_getaffinity(0))
            return definitions.command_pipeline(source.argv, concurrency, source.attempts, source.timeout or None)
        inline = submission.items_json is not None
        described = await describe(source, surroundings, self._sdk_folder, inline=inline)
        return definitions.from_json(definitions.resolve_timeouts(described, self._timeouts))

    def _waits(self, db: sqlite3.Connection, job_id: str) -> str:
        """What a new job waits for, empty when that is its start time."""
        place = queue.places(db).get(job_id, 0)
        file = pause_file(self._jobs.parent)
        if place and file is not None:
            held = held_by_file(file)
            return f"queued at place {place}. {held.message} {held.remedy.rstrip('.')}"
        return queue.wait_text(db, job_id, self._limits) or (f"queued at place {place}" if place else "")

    async def _discard_unless_recorded(self, job_id: str) -> None:
        """After a refusal, or when another submit with the same request id was first."""
        if await self._store.read(lambda db: jobs.by_ids(db, [job_id])):
            return
        for name in (f".new-{job_id}", job_id):
            await asyncio.to_thread(_remove, self._jobs / name, ignore_errors=True)


async def remove_orphan_folders(store: Store, folder: Path) -> list[str]:
    """At the start: removes what a crash during a submit left behind, and nothing that ever ran. Returns the names."""
    existing = await asyncio.to_thread(_job_folders, folder / "jobs")
    ids = {match["id"] for match in existing}
    known = {job.id for job in await store.read(lambda db: jobs.by_ids(db, ids))}
    orphans = [match.string for match in existing if match["new"] or match["id"] not in known]
    removed = []
    for name in orphans:
        # One that ran and has no row belongs to a store that was lost or restored: its results are not ours to drop.
        if not any((folder / "jobs" / name / "logs").glob("run-*")):
            await asyncio.to_thread(_remove, folder / "jobs" / name)
            removed.append(name)
    return removed


async def _to_the_end(work: Awaitable[T]) -> T:
    """Waits for the work even if the caller is cancelled meanwhile, so that what follows knows how it ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _recall(db: sqlite3.Connection, submission: Submission) -> Submitted | None:
    if not submission.request_id:
        return None
    answer = requests.recall(db, submission.request_id, submission.payload_hash)
    return Submitted(**json.loads(answer)) if answer is not None else None


def _surroundings(submission: Submission) -> Surroundings:
    source = submission.source
    default = Path.home()
    if isinstance(source, Mapping) and "file" in source:
        default = Path(source["file"]).parent
        if not Path(source["file"]).is_file():
            raise MilepostError(
                Code.PIPELINE_NOT_IMPORTABLE,
                f"There is no pipeline file {source['file']}.",
                "Name the pipeline's Python file.",
                {"field": "python_pipeline.file", "file": source["file"]},
            )
    working_directory = Path(submission.working_directory or default)
    if not working_directory.is_dir():
        raise MilepostError(
            Code.INVALID_ARGUMENT,
            f"The working directory {working_directory} is not a folder.",
            "Make it, or name another one.",
            {"field": "working_directory"},
        )
    return Surroundings(submission.python or sys.executable, str(working_directory), submission.environment)


def _check_command(command: CommandLine, submission: Submission, surroundings: Surroundings) -> None:
    if submission.input_path is None and submission.items_json is None:
        raise MilepostError(
            Code.INVALID_ARGUMENT,
            "A command pipeline needs an input: the command is run for each line of it.",
            "Give a file: --each FILE -- COMMAND {}.",
            {"field": "input"},
        )
    program = command.argv[0]
    path = {**os.environ, **surroundings.environment}.get("PATH", os.defpath)
    looked_for = str(Path(surroundings.working_directory) / program) if "/" in program else program
    if "{}" not in program and shutil.which(looked_for, path=path) is None:
        raise MilepostError(
            Code.PIPELINE_INVALID,
            f"There is no command {program} that could be run.",
            "Give its full path, or add its folder to PATH.",
            {"field": "command_pipeline.argv"},
        )


def _new_id() -> str:
    return "j-" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))


def _make_folder(folder: Path, submission: Submission) -> InputFile | None:
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
        (folder / "logs").mkdir(mode=0o700)
    except OSError as error:
        raise MilepostError(
            Code.STORE_FULL,
            f"The job's folder cannot be made: {error.strerror}.",
            "Make room in the state folder, then submit again.",
        ) from error
    if submission.input_path is not None:
        return inputs.copy_input(submission.input_path, folder)
    if submission.items_json is not None:
        return inputs.write_inline_items(submission.items_json, folder)
    return None


@edge("submit.publish")
def _publish(new: Path) -> None:
    """Gives the folder its name, durably."""
    final = new.with_name(new.name.removeprefix(".new-"))
    sync_folder(new)
    new.rename(final)
    sync_folder(final.parent)


@edge("submit.remove")
def _remove(folder: Path, *, ignore_errors: bool = False) -> None:
    shutil.rmtree(folder, ignore_errors)


def _job_folders(folder: Path) -> list[re.Match[str]]:
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return [match for name in names if (match := _FOLDER.fullmatch(name))]


def _job(
    job_id: str,
    submission: Submission,
    definition: PipelineDefinition,
    surroundings: Surroundings,
    copy: InputFile | None,
    now: float,
) -> Job:
    source = submission.source
    source_document = {"command": list(source.argv)} if isinstance(source, CommandLine) else dict(source)
    later = submission.start_time is not None and submission.start_time > now
    return Job(
        id=job_id,
        sequence=0,
        name=submission.name or definition.name,
        state=JobState.SCHEDULED if later else JobState.QUEUED,
        pipeline=definition.name,
        source_json=json.dumps(source_document),
        definition_json=definitions.to_json(definition),
        parameters_json=submission.parameters_json,
        queue=submission.queue,
        priority=submission.priority,
        create_time=now,
        activity_time=now,
        revision=0,
        labels=submission.labels,
        scheduled_time=submission.start_time,
        queue_time=None if later else now,
        runner_lost_policy=submission.runner_lost_policy,
        uniqueness_key=_uniqueness_key(submission, source_document, copy),
        python=surroundings.python,
        working_directory=surroundings.working_directory,
        environment=submission.environment,
        omitted_variables=submission.omitted_variables,
        input=copy,
        submitted_by=submission.by,
    )


def _uniqueness_key(
    submission: Submission, source: Mapping[str, str | list[str]], copy: InputFile | None
) -> str | None:
    if submission.allow_duplicate:
        return None
    if submission.uniqueness_key:
        return submission.uniqueness_key
    content = [source, json.loads(submission.parameters_json), copy.digest if copy else None]
    return "sha256:" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _record(
    tx: Transaction,
    submission: Submission,
    job: Job,
    definition: PipelineDefinition,
    waits: Callable[[sqlite3.Connection, str], str],
) -> Submitted:
    """The one transaction. When the request was answered meanwhile, that answer and nothing else."""
    earlier = _recall(tx.connection, submission)
    if earlier is not None:
        return earlier
    holder = jobs.holder_of_key(tx.connection, job.uniqueness_key) if job.uniqueness_key is not None else None
    if holder is not None:
        raise MilepostError(
            Code.DUPLICATE_JOB,
            f"{holder} has the same pipeline, parameters and input and has not ended.",
            f"Follow that one: milepost attach {holder}; or submit with --allow-duplicate.",
            {"other_job": holder},
        )
    stored = jobs.insert(tx, job, definition)
    answer = Submitted(job.id, _message(stored, definition, waits(tx.connection, job.id), submission))
    event = Event(
        "SUBMITTED",
        job.create_time,
        submission.by,
        submission.client,
        message=answer.message,
        to_state=job.state,
    )
    events.append(tx, job.id, event)
    if submission.request_id:
        kept = json.dumps(asdict(answer)).encode()
        requests.remember(tx, submission.request_id, _RPC, submission.payload_hash, kept, job.create_time)
    return answer


def _message(job: Job, definition: PipelineDefinition, waits: str, submission: Submission) -> str:
    steps = len(definition.steps)
    parts = [f"{steps} {'step' if steps == 1 else 'steps'}"]
    if submission.items_json is not None:
        parts.append(f"{len(submission.items_json)} items")
    elif job.input is not None:
        parts.append(f"input {job.input.name} ({job.input.size:,} bytes)")
    parts.append(waits or "waits for its start time")
    return f"{job.id} submitted: {', '.join(parts)}."
