"""What is noticed about a running job, in words: hints, not states. Nothing is done about them here.

Three ways to be stuck are told apart, from the outside in: a runner that is not heard (`RUNNER_SILENT`) makes all below
it unknown; a worker that does not answer (`WORKER_SILENT`) explains that its tasks do not end; what is left are tasks
that grow old in a worker that answers (`NO_PROGRESS`). A process that is gone is no finding: its run is closed, and the
job goes on (`lifecycle.settle`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from milepost.core.definition import StepDefinition
from milepost.core.model import ACTIVE_STATES, FindingKind, Job, JobState, Reason

#: Without a setting, a task is old when it has taken so many times as long as the longest of its step before it …
LEARNED_FACTOR = 3.0
#: … but not before this many seconds; and when none has ended yet, after these.
LEARNED_MINIMUM = 600.0
UNKNOWN_LIMIT = 3600.0
#: Tasks or workers that a finding names.
_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """`since`: Unix seconds."""

    kind: FindingKind
    reason: Reason
    since: float


@dataclass(frozen=True)
class Patience:
    """Settings, in seconds: until a pause is late, a runner or worker is silent, a task is old (None: learned)."""

    pause: float
    silence: float
    progress: float | None = None


class ExecutingTask(NamedTuple):
    """`name`: "step item". `quiet`: seconds since it began or last showed progress; `limit`: how long that may be.

    `worker`: its process, 0 when none executes it; `limit` is None when nobody has to point it out.
    """

    name: str
    quiet: float
    worker: int = 0
    limit: float | None = None


@dataclass(frozen=True)
class SilentWorker:
    """A worker that owes an answer. `silence` in seconds; `starting`: it has not imported the pipeline yet."""

    pid: int
    silence: float
    tasks: int
    starting: bool = False


@dataclass(frozen=True)
class Evidence:
    """What is known of a run beside the store: all ages in seconds during which the machine was awake.

    `runner`: its process, 0 when not known; `silence`: since its last heartbeat; `stopped`: by a signal or a debugger;
    `tasks`: the oldest that execute, in that order.
    """

    runner: int = 0
    silence: float = 0.0
    stopped: bool = False
    silent_workers: Sequence[SilentWorker] = ()
    tasks: Sequence[ExecutingTask] = ()


def progress_limit(step: StepDefinition, longest: float | None, patience: Patience) -> float | None:
    """Seconds without progress after which a task of this step is old; None: its own time-out ends it before.

    `longest`: how long a task of the step has taken that completed, in seconds; None when none has.
    """
    if patience.progress is not None:
        return patience.progress
    if step.timeout is not None:
        return None
    return UNKNOWN_LIMIT if longest is None else max(LEARNED_MINIMUM, LEARNED_FACTOR * longest)


def findings(job: Job, seen: Evidence, now: float, patience: Patience) -> tuple[Finding, ...]:
    """At most one of each code; `now` in Unix seconds."""
    return (*_late_pause(job, seen, now, patience.pause), *_stuck(job, seen, now, patience.silence))


def does_not_get_on(found: Sequence[Finding]) -> bool:
    """Whether a person had better do something about the run, or about the pause that waits for it."""
    return any(finding.kind is FindingKind.STUCK or finding.reason.code == "PAUSE_WAITS" for finding in found)


def _late_pause(job: Job, seen: Evidence, now: float, timeout: float) -> tuple[Finding, ...]:
    if job.state is not JobState.PAUSING or job.stop is None or now - job.stop.time < timeout:
        return ()
    named = _named([task.name for task in seen.tasks]) or "its runner"
    remedy = f"Wait, or kill what is in flight, which runs again: milepost pause {job.id} --now."
    reason = Reason("PAUSE_WAITS", f"The pause has waited {now - job.stop.time:.0f} s for {named}.", remedy)
    return (Finding(FindingKind.SLOW, reason, job.stop.time + timeout),)


def _stuck(job: Job, seen: Evidence, now: float, silence: float) -> tuple[Finding, ...]:
    if job.state not in ACTIVE_STATES or (job.stop is not None and job.stop.force):
        return ()
    if seen.silence >= silence:
        return (_runner_silent(job, seen, now),)
    silent = [worker for worker in seen.silent_workers if worker.silence >= silence]
    explained = {worker.pid for worker in silent}
    old = [
        task
        for task in seen.tasks
        if task.limit is not None and task.quiet >= task.limit and task.worker not in explained
    ]
    found = []
    if silent:
        found.append(_workers_silent(job, silent, seen.tasks, now))
    if old:
        found.append(_no_progress(job, old, now))
    return tuple(found)


def _runner_silent(job: Job, seen: Evidence, now: float) -> Finding:
    runner = f"Its runner{_process(seen.runner)}"
    if seen.stopped:
        message = f"{runner} is stopped, by a signal (SIGSTOP) or a debugger: nothing of the job goes on."
        remedy = f"Let it go on (kill -CONT {seen.runner}), or {_way_out(job)}."
    else:
        message = f"{runner} lives but does not say anything: what the job does is not known."
        remedy = f"See its log (milepost logs {job.id}); {_way_out(job)}."
    return Finding(FindingKind.STUCK, Reason("RUNNER_SILENT", message, remedy), now - seen.silence)


def _workers_silent(job: Job, silent: Sequence[SilentWorker], tasks: Sequence[ExecutingTask], now: float) -> Finding:
    if len(silent) == 1:
        message = _one_silent(silent[0], tasks)
    else:
        named = _named([f"process {worker.pid}{_holding(worker, tasks, ' with ')}" for worker in silent])
        message = f"{len(silent)} workers do not answer: {named}."
    remedy = f"See where it stands: milepost inspect {job.id}. Then {_way_out(job)}."
    longest = max(worker.silence for worker in silent)
    return Finding(FindingKind.STUCK, Reason("WORKER_SILENT", message, remedy), now - longest)


def _one_silent(worker: SilentWorker, tasks: Sequence[ExecutingTask]) -> str:
    if worker.starting:
        return f"A worker{_process(worker.pid)} has not imported the pipeline yet."
    holding = _holding(worker, tasks, " In it: ")
    return f"A worker{_process(worker.pid)} does not answer: something blocks it.{holding}{'.' if holding else ''}"


def _holding(worker: SilentWorker, tasks: Sequence[ExecutingTask], before: str) -> str:
    inside = _named([task.name for task in tasks if task.worker == worker.pid], worker.tasks)
    return f"{before}{inside}" if inside else ""


def _no_progress(job: Job, old: Sequence[ExecutingTask], now: float) -> Finding:
    oldest = max(old, key=lambda task: task.quiet)
    names = [oldest.name, *(task.name for task in old if task is not oldest)]
    verb = "executes" if len(old) == 1 else "execute"
    answers = ", while the worker answers" if oldest.worker else ""
    message = f"{_named(names)} {verb} without progress for longer than {_span(oldest.limit or 0.0)}{answers}."
    remedy = f"See where it stands: milepost inspect {job.id}. If it waits in vain, {_way_out(job)}."
    return Finding(FindingKind.STUCK, Reason("NO_PROGRESS", message, remedy), now - oldest.quiet)


def _way_out(job: Job) -> str:
    """The command that ends the run whatever it does."""
    match job.state:
        case JobState.PAUSING:
            return f"kill what is in flight, which runs again after resume: milepost pause {job.id} --now"
        case JobState.CANCELLING:
            return f"kill what is left: milepost force-cancel {job.id}"
        case _:
            return f"start it again from what is recorded: milepost restart {job.id}"


def _process(pid: int) -> str:
    return f" (process {pid})" if pid else ""


def _named(names: Sequence[str], number: int | None = None) -> str:
    """The first ones of them, and how many more there are; `number` when there are more than `names`."""
    more = max(number or 0, len(names)) - len(names[:_NAMED])
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more and names else "")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
