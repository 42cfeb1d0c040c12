"""What commands and facts make of a job: the table of `transitions`, applied.

`decide` applies a command; `settle` and the other fact functions say what becomes of a job when something was found to
be so. All return new values and change nothing; reconcile compares them with what runs and acts.

`stop` is the intent: PAUSING and CANCELLING are derived from it, and a restart is a stop whose target is QUEUED. Cancel
beats pause, wait and fail; force only escalates; resume revokes a pause that is not yet fact.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

from milepost.core import progress
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import (
    ENDED_STATES,
    INPUT_UNUSABLE,
    Command,
    Failure,
    Job,
    JobState,
    Reason,
    RunEnd,
    RunnerLostPolicy,
    Stop,
)
from milepost.core.retry import CORRUPT_SOURCE, DUPLICATE
from milepost.core.transitions import RESUME_INSTEAD, TABLE, Effect, Refusal

#: Automatic resumes without progress in between, before a person has to look (R8, J7).
AUTO_RESUME_LIMIT = 5

_STOPS: Mapping[Effect, tuple[JobState, bool]] = MappingProxyType(
    {
        Effect.STOP_TO_PAUSE: (JobState.PAUSED, False),
        Effect.STOP_TO_PAUSE_NOW: (JobState.PAUSED, True),
        Effect.STOP_TO_RESTART: (JobState.QUEUED, True),
        Effect.STOP_TO_REWIND: (JobState.QUEUED, True),
        Effect.STOP_TO_CANCEL: (JobState.CANCELLED, False),
        Effect.STOP_TO_FORCE_CANCEL: (JobState.CANCELLED, True),
    }
)
_STATE_WHILE_STOPPING: Mapping[JobState, JobState] = MappingProxyType(
    {JobState.PAUSED: JobState.PAUSING, JobState.CANCELLED: JobState.CANCELLING}
)
_REWRITES = frozenset({Effect.STOP_TO_REWIND, Effect.REWIND, Effect.RETRY_IN_PLACE, Effect.RETRY_AND_ENQUEUE})
_STARTS = frozenset({Effect.ENQUEUE, Effect.REWIND, Effect.RETRY_AND_ENQUEUE})


class Circumstances(NamedTuple):
    """What a decision depends on besides the job: who holds its uniqueness key, and which sentinel file pauses it."""

    key_holder: str | None = None
    pause_file: str | None = None


@dataclass(frozen=True)
class Decision:
    """The job as it shall be, and what else belongs to the same transaction."""

    job: Job
    effect: Effect
    #: A failed task of the root, which stopped the whole job, runs again (J3).
    reopens_root: bool = False


@dataclass(frozen=True)
class Request:
    """Who asks, why, and when (Unix seconds)."""

    by: str
    now: float
    reason: str = ""


class Condition(NamedTuple):
    """What of a job decides which commands are possible, and nothing else of it. `stop`: the target of its stop."""

    id: str
    state: JobState
    stop: JobState | None
    operation: str | None
    has_failed: bool
    input_unusable: bool


_failed_tasks = attrgetter("failed")


def condition_of(job: Job) -> Condition:
    return Condition(
        job.id,
        job.state,
        None if job.stop is None else job.stop.target,
        job.operation,
        any(map(_failed_tasks, job.steps)),
        job.reason is not None and job.reason.code == INPUT_UNUSABLE,
    )


def effect_of(job: Condition, command: Command, circumstances: Circumstances) -> Effect:
    """What the command would do now. Raises MilepostError with state, reason and what to do instead."""
    rule = TABLE[job.state, command]
    if command is Command.RESUME and job.state is JobState.QUEUED and circumstances.pause_file:
        raise _paused_by_file(job, circumstances.pause_file)
    if isinstance(rule, Refusal):
        if job.state is JobState.COMPLETED and command is Command.RESUME and job.has_failed:
            rule = Refusal(rule.why, f"Run what failed again: milepost retry {job.id}.")
        raise not_allowed(job, command, rule)
    _check_circumstances(job, command, rule, circumstances)
    return rule


def decide(job: Job, command: Command, request: Request, circumstances: Circumstances) -> Decision:
    """Applies one command. Raises MilepostError as `effect_of` does; then nothing changes."""
    rule = effect_of(condition_of(job), command, circumstances)
    if rule in (Effect.STOP_TO_REWIND, Effect.REWIND):
        job = replace(job, auto_resume_mark=0)  # fewer records will be progress, too
    if rule in _STOPS:
        return Decision(_stopping(job, rule, request), rule)
    match rule:
        case Effect.HOLD:
            changed = replace(job, state=JobState.PAUSED, reason=_asked("PAUSED", request), queue_time=None)
        case Effect.REVOKE_PAUSE:
            changed = replace(job, state=JobState.RUNNING, stop=None, reason=None)
        case Effect.CANCEL_AT_ONCE:
            changed = replace(
                job,
                state=JobState.CANCELLED,
                reason=_asked("CANCELLED", request),
                end_time=request.now,
                queue_time=None,
            )
        case Effect.ENQUEUE | Effect.REWIND | Effect.RETRY_AND_ENQUEUE:
            changed = _enqueued(job, request.now)
            if job.state is not JobState.QUEUED and job.run_count:
                changed = replace(changed, resume_count=job.resume_count + 1)
        case _:
            changed = job
    return Decision(changed, rule, reopens_root=rule is Effect.ENQUEUE)


def not_allowed(job: Condition, command: Command, refusal: Refusal) -> MilepostError:
    verb = command.lower().replace("_", " ")
    return MilepostError(
        Code.NOT_ALLOWED,
        f"Cannot {verb} {job.id} ({job.state}): {refusal.why}.",
        refusal.instead,
        {"state": job.state, "command": command, "job": job.id},
    )


def _paused_by_file(job: Condition, file: str) -> MilepostError:
    held = held_by_file(file)
    return MilepostError(Code.PAUSE_FILE, held.message, f"{held.remedy} Then resume.", {"job": job.id, "file": file})


def _check_circumstances(job: Condition, command: Command, effect: Effect, circumstances: Circumstances) -> None:
    if command is Command.RETRY and not job.has_failed:
        raise MilepostError(
            Code.NOTHING_FAILED, f"Nothing of {job.id} has failed.", "There is nothing to retry.", {"job": job.id}
        )
    if command is Command.RETRY and job.stop is not None:
        raise not_allowed(job, command, Refusal("it is being stopped", "Wait until it has ended, then retry."))
    if effect in _REWRITES and job.operation:
        raise MilepostError(
            Code.JOB_CHANGING,
            f"The records of {job.id} are being rewritten.",
            "Try again in a moment.",
            {"job": job.id},
        )
    if job.stop is JobState.QUEUED and effect in (Effect.STOP_TO_RESTART, Effect.STOP_TO_REWIND):
        raise not_allowed(job, command, Refusal("it is being restarted already", "Wait for its new run."))
    if effect in _STARTS and job.state in ENDED_STATES and circumstances.key_holder:
        raise MilepostError(
            Code.DUPLICATE_JOB,
            f"{job.id} would double {circumstances.key_holder}, which has the same pipeline, parameters and input.",
            f"Follow that one: milepost attach {circumstances.key_holder}; or cancel it first.",
            {"job": job.id, "other_job": circumstances.key_holder},
        )
    if effect in (*_STARTS, Effect.REVOKE_PAUSE) and circumstances.pause_file:
        raise _paused_by_file(job, circumstances.pause_file)


def _stopping(job: Job, effect: Effect, request: Request) -> Job:
    target, force = _STOPS[effect]
    force = force or (job.stop is not None and job.stop.force)
    stop = Stop(target, force, request.by, _asked(target, request), request.now)
    return replace(job, state=_STATE_WHILE_STOPPING.get(target, JobState.RUNNING), stop=stop, reason=stop.reason)


def _enqueued(job: Job, now: float) -> Job:
    return replace(
        job,
        state=JobState.QUEUED,
        stop=None,
        reason=None,
        end_time=None,
        queue_time=job.queue_time if job.state is JobState.QUEUED else now,
        auto_resume_count=0,
    )


def _asked(code: str, request: Request) -> Reason:
    why = f": {request.reason}" if request.reason else ""
    words = {"PAUSED": "Paused", "CANCELLED": "Cancelled", "QUEUED": "Restarted"}
    return Reason(f"{words[code].upper()}_BY_REQUEST", f"{words[code]} by {request.by}{why}.")


# --- facts ---


def held_by_file(file: str) -> Reason:
    """Why no job starts: the sentinel file for all of them is there."""
    text = f"The file {file} pauses every job; nothing starts while it is there."
    return Reason(Code.PAUSE_FILE, text, f"Lift that by removing it (rm {shlex.quote(file)}).")


def as_told(job: Job, circumstances: Circumstances) -> Job:
    """The job as clients see it: one that is queued says what keeps all jobs from starting."""
    if circumstances.pause_file is None or job.state is not JobState.QUEUED:
        return job
    return replace(job, reason=held_by_file(circumstances.pause_file))


def start_time_reached(job: Job, now: float) -> Job:
    return replace(_enqueued(job, now), resume_count=job.resume_count)


def started(job: Job, now: float) -> Job:
    """The job got a slot and its run is recorded; reconcile brings the runner up."""
    return replace(
        job,
        state=JobState.RUNNING,
        reason=None,
        queue_time=None,
        run_count=job.run_count + 1,
        start_time=job.start_time if job.start_time is not None else now,
    )


def waiting(job: Job, reason: Reason) -> Job:
    """It needs someone or something before it can start."""
    return replace(job, state=JobState.WAITING, reason=reason, stop=None, queue_time=None)


def reason_of_root(job: Job, failure: Failure) -> Reason:
    """Why a job cannot go on: so a task failed that the whole of it needs."""
    is_duplicate_of_input = failure.error_class == DUPLICATE and job.input is not None
    if failure.error_class == CORRUPT_SOURCE or is_duplicate_of_input:
        advice = "Then submit it again; a resume reads the same copy, which helps only where the pipeline was mended."
        return Reason(INPUT_UNUSABLE, failure.message, f"{failure.remedy} {advice}".strip())
    return Reason(
        "TASK_FAILED",
        f"A step that the whole job needs has failed: {failure.message}",
        failure.remedy or "See its log and its failed attempts, mend the cause, then resume it.",
    )


def cannot_go_on(job: Job, reason: Reason, now: float) -> Job:
    """A fact that ends the run by itself: a task that the whole job needs has failed.

    A stop that someone asked for stands: what it leaves behind is settled then.
    """
    if job.stop is not None:
        return job
    return replace(job, stop=Stop(JobState.FAILED, False, "daemon", reason, now), reason=reason)


def settle(
    job: Job,
    definition: PipelineDefinition,
    end: RunEnd,
    mistake: Reason | None,
    now: float,
    limit: int = AUTO_RESUME_LIMIT,
    how: str = "",
) -> Job:
    """What becomes of a job whose run has ended and whose process tree is proven empty.

    `mistake`: why the next run would come no further: the pipeline cannot be loaded in its interpreter any more, or the
    runner that is installed is of another version; `how`: what ended the runner, where that is known, as in "was killed
    by SIGKILL".
    """
    rewinding = job.operation == "REWIND"
    if progress.remaining(definition, job.steps) == 0 and not rewinding and not _root_failed(job, definition):
        return replace(job, state=JobState.COMPLETED, stop=None, reason=None, end_time=now)
    if job.stop is not None:
        return _stopped(job, job.stop, now)
    if mistake is not None:
        return waiting(job, mistake)
    if end is RunEnd.FINISHED:
        return _enqueued(job, now)  # more to do came when its runner had nothing left and was about to end
    if _root_failed(job, definition):
        return _failed(job, Reason("TASK_FAILED", "A step that the whole job needs has failed.", RESUME_INSTEAD), now)
    return _runner_lost(job, end, now, limit, how)


def _root_failed(job: Job, definition: PipelineDefinition) -> bool:
    return any(s.failed for s, shape in zip(job.steps, definition.steps, strict=True) if shape.line == 0)


def _stopped(job: Job, stop: Stop, now: float) -> Job:
    match stop.target:
        case JobState.QUEUED:
            return replace(_enqueued(job, now), resume_count=job.resume_count + 1)
        case JobState.FAILED:
            return _failed(job, stop.reason, now)
        case JobState.CANCELLED:
            return replace(job, state=JobState.CANCELLED, stop=None, reason=stop.reason, end_time=now)
        case _:
            return replace(job, state=stop.target, stop=None, reason=stop.reason)


def _failed(job: Job, reason: Reason, now: float) -> Job:
    return replace(job, state=JobState.FAILED, stop=None, reason=reason, end_time=now)


def _runner_lost(job: Job, end: RunEnd, now: float, limit: int, how: str) -> Job:
    what = f"Its runner {how or 'was lost'}"
    if end is RunEnd.START_FAILED:
        what = "Its runner could not be started" + (f": it {how}" if how else "")
    if job.runner_lost_policy is RunnerLostPolicy.HOLD:
        return _failed(job, Reason("RUNNER_LOST", f"{what}; it was told to hold then.", RESUME_INSTEAD), now)
    done = progress.recorded(job.steps)
    used = 0 if done > job.auto_resume_mark else job.auto_resume_count
    if used >= limit:
        text = f"{what} {used + 1} times without progress in between."
        return _failed(job, Reason("RUNNER_LOST", text, "See its log and inspect it, then resume it."), now)
    return replace(
        _enqueued(job, now),
        reason=Reason("RUNNER_LOST", f"{what}; resumed automatically ({used + 1} of {limit})."),
        resume_count=job.resume_count + 1,
        auto_resume_count=used + 1,
        auto_resume_mark=done,
    )
