"""The actions that a job carries are what the commands then do."""

from dataclasses import replace

import pytest

from milepost.core.actions import Offer, effect_text, offers, position_text
from milepost.core.definition import PipelineDefinition, command_pipeline
from milepost.core.errors import MilepostError
from milepost.core.lifecycle import Circumstances, Request, condition_of, decide
from milepost.core.model import INPUT_UNUSABLE, Command, Job, JobState, Reason
from milepost.core.progress import Counts, step_counts
from milepost.core.transitions import Effect
from tests.core.factories import CREATORS, counts, job

NOTHING = Circumstances()


def offered(found: Job, circumstances: Circumstances = NOTHING, *, stalled: bool = False) -> tuple[Offer, ...]:
    return offers(condition_of(found), circumstances, stalled=stalled)


def words(found: Job, command: Command) -> str:
    """What the job says that the command would do."""
    [effect] = [offer.effect for offer in offered(found) if offer.command is command]
    assert isinstance(effect, Effect)
    return effect_text(CREATORS, steps_of(found), command, effect)


def steps_of(found: Job, definition: PipelineDefinition = CREATORS) -> tuple[Counts, ...]:
    return step_counts(definition, found.steps, {})


@pytest.mark.parametrize("circumstances", [Circumstances(), Circumstances("j-bbbbbbbb", "/state/PAUSE")])
@pytest.mark.parametrize("state", list(JobState))
def test_actions_are_what_decide_says(state: JobState, circumstances: Circumstances) -> None:
    found = {action.command: action for action in offered(job(state), circumstances)}
    assert list(found) == list(Command)
    for command, action in found.items():
        try:
            decide(job(state), command, Request("ada", 100.0), circumstances)
        except MilepostError as error:
            assert not action.recommended
            assert isinstance(action.effect, Reason)
            assert (action.effect.code, action.effect.message) == (error.code, error.message)
            assert action.effect.remedy
        else:
            assert isinstance(action.effect, Effect)
            assert effect_text(CREATORS, steps_of(job(state)), command, action.effect)


def wanted(state: JobState, *, stalled: bool = False) -> list[Command]:
    return [a.command for a in offered(job(state), stalled=stalled) if a.recommended]


def test_what_is_recommended() -> None:
    assert wanted(JobState.FAILED) == wanted(JobState.PAUSED) == wanted(JobState.CANCELLED) == [Command.RESUME]
    assert wanted(JobState.RUNNING) == [Command.PAUSE]
    unusable = replace(job(JobState.FAILED), reason=Reason(INPUT_UNUSABLE, "It is not UTF-8."))
    assert not [offer for offer in offered(unusable) if offer.recommended], "a resume reads the same input"
    assert wanted(JobState.RUNNING, stalled=True) == [Command.RESTART]
    assert wanted(JobState.PAUSING) == [Command.RESUME]
    assert wanted(JobState.PAUSING, stalled=True) == [Command.PAUSE_NOW]
    assert wanted(JobState.COMPLETED) == [Command.RETRY]
    assert wanted(JobState.QUEUED) == []


def test_resume_says_where_it_continues() -> None:
    resume = words(job(JobState.FAILED), Command.RESUME)
    assert resume == "continues at 229 of 313; 85 remain; 11 failed are kept; finished already: items"
    pipeline = command_pipeline(("true",), 4, 1, None)
    last = replace(job(JobState.PAUSED), steps=(counts(0, "items", 1, done=1), counts(1, "run", 9, done=8)))
    assert position_text(pipeline, steps_of(last, pipeline)) == "continues at 9 of 9; 1 remains"


def test_resume_of_a_broken_enumeration_says_so() -> None:
    nothing = counts(1, "fetch", 0)._replace(total_known=True)
    steps = (counts(0, "items", 1, failed=1), nothing, nothing._replace(position=2), counts(3, "report", 1))
    broken = job(JobState.FAILED, steps=steps)
    assert words(broken, Command.RESUME).startswith("runs items again, which failed, on the same input;")


def test_words_say_how_many_failed_tasks_run_again() -> None:
    failed = job(JobState.FAILED)
    text = effect_text(CREATORS, steps_of(failed), Command.RESUME, Effect.ENQUEUE, retrying=11)
    assert text.startswith("continues at 229 of 313; 85 remain; runs 11 failed tasks again")
    one = effect_text(CREATORS, steps_of(failed), Command.RETRY, Effect.RETRY_AND_ENQUEUE, retrying=1)
    assert one == "runs 1 failed task again"


def test_words_name_the_step_of_a_restart() -> None:
    text = effect_text(CREATORS, steps_of(job()), Command.RESTART_FROM_STEP, Effect.REWIND, step="fetch")
    assert text == "archives the records from fetch on and runs those steps again"
