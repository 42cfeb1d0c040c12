"""What a person may do with a job now, in words. Clients display this list and decide nothing (J6)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from milepost.core import progress
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import MilepostError
from milepost.core.lifecycle import Circumstances, Condition, effect_of
from milepost.core.model import Command, JobState, Reason
from milepost.core.progress import Counts
from milepost.core.transitions import Effect


class Offer(NamedTuple):
    """What a command would do, or why it is refused and what to do instead."""

    command: Command
    recommended: bool
    effect: Effect | Reason


def offers(job: Condition, circumstances: Circumstances, *, stalled: bool = False) -> tuple[Offer, ...]:
    """One for each command, in a fixed order; exactly what `lifecycle.decide` would say.

    `stalled`: a finding says that the job, or its pause, does not get on.
    """
    wanted = _recommended(job, stalled)
    found = [(command, _effect_or_refusal(job, command, circumstances)) for command in Command]
    return tuple(
        Offer(command, command in wanted and not isinstance(effect, Reason), effect) for command, effect in found
    )


def _effect_or_refusal(job: Condition, command: Command, circumstances: Circumstances) -> Effect | Reason:
    try:
        return effect_of(job, command, circumstances)
    except MilepostError as error:
        return Reason(error.code, error.message, error.remedy)


def _recommended(job: Condition, stalled: bool) -> Sequence[Command]:
    match job.state:
        case JobState.FAILED if job.input_unusable:
            return ()
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
    total, total_known, succeeded, failed, skipped, _, in_flight, pending = progress.job_counts(definition, steps)
    processed, remaining = succeeded + failed + skipped, pending + in_flight
    unit = "item" if definition.item_line else "step"
    broken = [definition.steps[position] for position in definition.root_steps if steps[position].failed]
    if broken:
        where = ", on the same input" if any(step.enumerates for step in broken) else ""
        names = ", ".join(step.name for step in broken)
        return f"runs {names} again, which failed{where}; what is recorded is kept"
    if not total_known:
        return f"continues with reading its input; {processed} {unit}s processed"
    parts = []
    if remaining:
        parts.append(f"continues at {processed + 1} of {total}")
        parts.append("1 remains" if remaining == 1 else f"{remaining} remain")
    else:
        parts.append(f"all {total} {unit}s are processed; continues with the steps after them")
    if retrying:
        parts.append(_retry_text(retrying))
    elif failed:
        parts.append(f"{failed} failed are kept")
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


#: What is said of an effect however far the job is.
_TEXTS: Mapping[Effect, str] = MappingProxyType(
    {
        Effect.HOLD: "is held: it does not start until it is resumed",
        Effect.STOP_TO_PAUSE: "starts nothing more, completes what is in flight, then pauses",
        Effect.STOP_TO_PAUSE_NOW: "kills what is in flight, which runs again after resume, then pauses",
        Effect.REVOKE_PAUSE: "takes the pause back and goes on",
        Effect.CANCEL_AT_ONCE: "ends it; it can be resumed",
        Effect.STOP_TO_CANCEL: "starts nothing more, completes what is in flight, then ends it; it can be resumed",
        Effect.STOP_TO_FORCE_CANCEL: "kills its whole process tree at once; what is recorded is kept and it can be "
        "resumed",
    }
)


def fixed_text(command: Command, effect: Effect, step: str = "a step") -> str | None:
    """As `effect_text`; None when it depends on how far the job is."""
    if effect in (Effect.STOP_TO_REWIND, Effect.REWIND):
        return _rewind_text(command, step)
    return _TEXTS.get(effect)


def effect_text(
    definition: PipelineDefinition,
    steps: Sequence[Counts],
    command: Command,
    effect: Effect,
    *,
    step: str = "a step",
    retrying: int | None = None,
) -> str:
    """What the command does, in words. `steps`: the counts of the job's steps, here and above.

    `step`: where a restart begins; `retrying`: failed tasks that a retry, or a resume that retries, runs again.
    """
    fixed = fixed_text(command, effect, step)
    return counted_text(definition, steps, effect, retrying) if fixed is None else fixed


def counted_text(
    definition: PipelineDefinition, steps: Sequence[Counts], effect: Effect, retrying: int | None = None
) -> str:
    """As `effect_text`, of what has no fixed text."""
    if effect is Effect.STOP_TO_RESTART:
        return f"kills the run and starts a new one: {position_text(definition, steps)}"
    if effect is Effect.ENQUEUE:
        return position_text(definition, steps, retrying or 0) + skipped_steps_text(definition, steps)
    return _retry_text(sum(counted.failed for counted in steps) if retrying is None else retrying)
