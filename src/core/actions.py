"""What a person may do with a job now, in words. Clients display this list and decide nothing (J6)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from milepost.core import progress
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import MilepostError
from milepost.core.lifecycle import Circumstances, Condition, condition_of, effect_of
from milepost.core.model import Command, Job, JobState, Reason
from milepost.core.progress import Counts
from milepost.core.transitions import Effect


class Action(NamedTuple):
    """`effect` when allowed: what it would do. `refusal` when not: why, and what to do instead."""

    command: Command
    allowed: bool
    recommended: bool
    effect: str = ""
    refusal: Reason | None = None


def actions(
    job: Job,
    definition: PipelineDefinition,
    steps: Sequence[Counts],
    circumstances: Circumstances,
    *,
    stalled: bool = False,
) -> tuple[Action, ...]:
    """One entry for each command, in a fixed order; exactly what `lifecycle.decide` would say.

    `steps`: the counts of the job's steps, here and below. `stalled`: a finding says that the job, or its pause, does
    not get on.
    """
    wanted = _recommended(job, stalled)
    return tuple(
        Action(command, allowed=False, recommended=False, refusal=found)
        if isinstance(found, Reason)
        else Action(command, True, command in wanted, effect_text(definition, steps, command, found))
        for command, found in _possible(condition_of(job), circumstances)
    )


@lru_cache(maxsize=1000)
def _possible(job: Condition, circumstances: Circumstances) -> tuple[tuple[Command, Effect | Reason], ...]:
    """What each command would do, or why it is refused. Kept, because a running job is asked at each of its changes."""
    return tuple((command, _effect_or_refusal(job, command, circumstances)) for command in Command)


def _effect_or_refusal(job: Condition, command: Command, circumstances: Circumstances) -> Effect | Reason:
    try:
        return effect_of(job, command, circumstances)
    except MilepostError as error:
        return Reason(error.code, error.message, error.remedy)


def _recommended(job: Job, stalled: bool) -> Sequence[Command]:
    match job.state:
        case JobState.PAUSED | JobState.FAILED | JobState.CANCELLED | JobState.WAITING:
            return (Command.RESUME,)
        case JobState.RUNNING:
            return (Command.RESTART,) if stalled else (Command.PAUSE,)
        case JobState.PAUSING:
            return (Command.PAUSE_NOW,) if stalled else (Command.RESUME,)
        case JobState.CANCELLING:
            return (Command.FORCE_CANCEL,)
        case JobState.COMPLETED:
            return (Command.RETRY,)
        case _:
            return ()


def position_text(definition: PipelineDefinition, steps: Sequence[Counts], retrying: int = 0) -> str:
    """Where a job stands: "continues at 229 of 313; 85 remain; 11 failed are kept"; `retrying`: those run again."""
    counts = progress.job_counts(definition, steps)
    unit = "item" if definition.item_line else "step"
    broken = [
        shape.name for step, shape in zip(steps, definition.steps, strict=True) if shape.line == 0 and step.failed
    ]
    if broken:
        return f"runs {', '.join(broken)} again, which failed; what is recorded is kept"
    if not counts.total_known:
        return f"continues with reading its input; {counts.processed} {unit}s processed"
    parts = []
    if counts.remaining:
        parts.append(f"continues at {counts.processed + 1} of {counts.total}")
        parts.append("1 remains" if counts.remaining == 1 else f"{counts.remaining} remain")
    else:
        parts.append(f"all {counts.total} {unit}s are processed; continues with the steps after them")
    if retrying:
        parts.append(_retry_text(retrying))
    elif counts.failed:
        parts.append(f"{counts.failed} failed are kept")
    return "; ".join(parts)


def skipped_steps_text(definition: PipelineDefinition, steps: Sequence[Counts]) -> str:
    """Which steps a resume passes over because they have ended, or nothing."""
    ended = [
        shape.name
        for shape, count in zip(definition.steps, steps, strict=True)
        if count.succeeded and count.total_known and not count.remaining
    ]
    return f"; finished already: {', '.join(ended)}" if ended else ""


def _rewind_text(command: Command, step: str) -> str:
    if command is Command.RESTART_FROM_SCRATCH:
        return "archives every record and starts with the input"
    return f"archives the records from {step} on and runs those steps again"


def _retry_text(tasks: int) -> str:
    return f"runs {tasks} failed {'task' if tasks == 1 else 'tasks'} again"


def effect_text(
    definition: PipelineDefinition,
    steps: Sequence[Counts],
    command: Command,
    effect: Effect,
    *,
    step: str = "a step",
    retrying: int | None = None,
) -> str:
    """`step`: where a restart begins; `retrying`: failed tasks that a retry, or a resume that retries, runs again."""
    match effect:
        case Effect.HOLD:
            return "is held: it does not start until it is resumed"
        case Effect.STOP_TO_PAUSE:
            return "starts nothing more, completes what is in flight, then pauses"
        case Effect.STOP_TO_PAUSE_NOW:
            return "kills what is in flight, which runs again after resume, then pauses"
        case Effect.REVOKE_PAUSE:
            return "takes the pause back and goes on"
        case Effect.ENQUEUE:
            return position_text(definition, steps, retrying or 0) + skipped_steps_text(definition, steps)
        case Effect.STOP_TO_RESTART:
            return f"kills the run and starts a new one: {position_text(definition, steps)}"
        case Effect.STOP_TO_REWIND | Effect.REWIND:
            return _rewind_text(command, step)
        case Effect.CANCEL_AT_ONCE:
            return "ends it; it can be resumed"
        case Effect.STOP_TO_CANCEL:
            return "starts nothing more, completes what is in flight, then ends it; it can be resumed"
        case Effect.STOP_TO_FORCE_CANCEL:
            return "kills its whole process tree at once; what is recorded is kept and it can be resumed"
        case Effect.RETRY_IN_PLACE | Effect.RETRY_AND_ENQUEUE:
            return _retry_text(sum(counted.failed for counted in steps) if retrying is None else retrying)
