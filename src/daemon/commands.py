"""Commands of a client on a job: core decides, one transaction records it, then reconcile makes it fact."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from milepost.common.edges import edge
from milepost.core import actions, lifecycle, progress
from milepost.core.definition import from_json
from milepost.core.errors import Code, MilepostError
from milepost.core.lifecycle import Decision, Request
from milepost.core.model import Command, Event, Job, JobState
from milepost.core.queueing import Limits
from milepost.core.transitions import Effect
from milepost.daemon.circumstances import PAUSE_FILE, circumstances
from milepost.daemon.store import events, jobs, operations, queue, requests
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.store import Store


@dataclass(frozen=True)
class Asked:
    """One command as a client sent it. `payload_hash` tells a repetition of `request_id` from its misuse."""

    command: Command
    request_id: str
    payload_hash: str
    by: str
    client: str
    reason: str = ""
    step: str | None = None
    retry_failed: bool = False
    item_keys: tuple[str, ...] = ()
    error_class: str = ""


@dataclass(frozen=True)
class Controlled:
    """What became of a command. `message` says it in words for a person."""

    job_id: str
    message: str
    retried: int
    revision: int


class Commands:
    """Applies commands. `changed` is told each job whose intent has changed, as it was committed."""

    def __init__(self, store: Store, folder: Path, changed: Callable[[Job], None], limits: Limits) -> None:
        self._store = store
        self._folder = folder
        self._changed = changed
        self._limits = limits

    async def control(self, reference: str, asked: Asked) -> Controlled:
        """Raises MilepostError when the job is not found or the command not allowed; then nothing has changed."""

        def transact(tx: Transaction) -> tuple[Controlled, Job | None]:
            return self._apply(tx, reference, asked, time.time())

        controlled, changed = await self._store.write(transact)
        if asked.command is Command.RESUME:
            self._remove_pause_file(controlled.job_id)
        if changed is not None:
            self._changed(changed)
        return controlled

    @edge("commands.remove_pause_file")
    def _remove_pause_file(self, job_id: str) -> None:
        (self._folder / "jobs" / job_id / PAUSE_FILE).unlink(missing_ok=True)

    def _apply(self, tx: Transaction, reference: str, asked: Asked, now: float) -> tuple[Controlled, Job | None]:
        """With the job as it is now; None for a repetition, which changes nothing."""
        if asked.request_id:
            answer = requests.recall(tx.connection, asked.request_id, asked.payload_hash)
            if answer is not None:
                return Controlled(**json.loads(answer)), None
        job = jobs.get(tx.connection, jobs.resolve(tx.connection, reference))
        definition = from_json(job.definition_json)
        step = definition.step_named(asked.step) if asked.step is not None else None
        request = Request(asked.by, now, asked.reason)
        decision = lifecycle.decide(job, asked.command, request, circumstances(tx.connection, job, self._folder))
        retry = _retry(job, asked, decision)
        retried = _count(tx, job, retry) if retry is not None else 0
        text = actions.effect_text(
            definition,
            progress.step_counts(definition, job.steps, {}),
            asked.command,
            decision.effect,
            step=step.name if step is not None else "",
            retrying=retried,
        )
        stop_revision = job.stop_revision if decision.job.stop == job.stop else tx.revision
        changed = replace(decision.job, activity_time=now, revision=tx.revision, stop_revision=stop_revision)
        jobs.save(tx, changed)
        event_id = events.append(tx, job.id, _event(job, asked, decision, text, now))
        if decision.effect in (Effect.STOP_TO_REWIND, Effect.REWIND):
            operations.begin(tx, job.id, operations.Rewind(step.position if step is not None else 0), event_id)
        elif retry is not None:
            operations.begin(tx, job.id, retry, event_id)
        elif decision.reopens_root:
            retried = int(operations.reopen_root(tx, job.id, definition, event_id, now))
        wait = queue.wait_text(tx.connection, job.id, self._limits) if changed.state is JobState.QUEUED else ""
        message = f"{job.id}: {text}; {wait}." if wait else f"{job.id}: {text}."
        controlled = Controlled(job.id, message, retried, tx.revision)
        if asked.request_id:
            answer = json.dumps(asdict(controlled)).encode()
            requests.remember(tx, asked.request_id, asked.command, asked.payload_hash, answer, now)
        return controlled, changed


def _event(job: Job, asked: Asked, decision: Decision, text: str, now: float) -> Event:
    reason = f" ({asked.reason})" if asked.reason else ""
    return Event(
        kind=f"{asked.command}_REQUESTED",
        time=now,
        by=asked.by,
        client=asked.client,
        message=text + reason,
        from_state=job.state,
        to_state=decision.job.state,
    )


def _retry(job: Job, asked: Asked, decision: Decision) -> operations.Retry | None:
    """Which failed tasks the command runs again, if any."""
    if decision.effect in (Effect.RETRY_IN_PLACE, Effect.RETRY_AND_ENQUEUE):
        return operations.Retry(asked.item_keys, asked.error_class)
    if decision.effect is Effect.ENQUEUE and asked.retry_failed and any(step.failed for step in job.steps):
        return operations.Retry()
    return None


def _count(tx: Transaction, job: Job, retry: operations.Retry) -> int:
    """Raises MilepostError(NOTHING_FAILED)."""
    count = operations.count_failed(tx.connection, job.id, retry)
    if count == 0:
        raise MilepostError(
            Code.NOTHING_FAILED,
            f"None of the tasks of {job.id} that failed fits what was asked.",
            f"See what failed: milepost items {job.id} --state FAILED.",
            {"job": job.id},
        )
    return count
