"""Jobs and pipelines as values, for tests of the rules."""

from dataclasses import replace

from milepost.core.definition import Executor, Gives, PipelineDefinition, StepDefinition, Takes, lines_for, to_json
from milepost.core.model import Job, JobState, LabelCount, Outcome, Reason, StepCounts, Stop


def step(name: str, takes: Takes = Takes.EACH, gives: Gives = Gives.ONE, **more: object) -> StepDefinition:
    return replace(StepDefinition(0, name, takes, gives, Executor.ASYNC, 0), **more)  # type: ignore[arg-type]


CREATORS = PipelineDefinition(
    "creators",
    lines_for(
        [
            step("items", gives=Gives.MANY, enumerates=True),
            step("fetch"),
            step("store"),
            step("report", takes=Takes.ALL),
        ]
    ),
    key="handle",
)
BLOG = PipelineDefinition("blog", lines_for([step(name) for name in ["topics", "plan", "write", "edit"]]))


def counts(position: int, name: str, total: int, done: int = 0, failed: int = 0, skipped: int = 0) -> StepCounts:
    labels = [
        LabelCount(Outcome.SUCCEEDED, "", done),
        LabelCount(Outcome.FAILED, "", failed),
        LabelCount(Outcome.SKIPPED, "filtered", skipped),
    ]
    return StepCounts(
        position, name, total, True, done, failed, skipped, tuple(label for label in labels if label.count)
    )


#: 313 creators: 228 processed, 11 of them failed, 17 filtered; the enumeration is done, the report not.
AT_228 = (
    counts(0, "items", 1, done=1),
    counts(1, "fetch", 313, done=200, failed=11, skipped=17),
    counts(2, "store", 313, done=200),
    counts(3, "report", 1),
)
ALL_DONE = (
    counts(0, "items", 1, done=1),
    counts(1, "fetch", 313, done=285, failed=11, skipped=17),
    counts(2, "store", 313, done=285),
    counts(3, "report", 1, done=1),
)


def job(state: JobState = JobState.RUNNING, **more: object) -> Job:
    """A creators job in this state, with what such a state always has."""
    stopping = {JobState.PAUSING: JobState.PAUSED, JobState.CANCELLING: JobState.CANCELLED}
    values: dict[str, object] = {
        "steps": ALL_DONE if state is JobState.COMPLETED else AT_228,
        "run_count": 0 if state in (JobState.SCHEDULED, JobState.QUEUED) else 1,
        "end_time": 50.0 if state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED) else None,
        "reason": Reason("X", "Because.") if state in (JobState.FAILED, JobState.WAITING) else None,
    }
    if state in stopping:
        values["stop"] = Stop(stopping[state], False, "ada", Reason("X", "Because."), 10.0)
    base = Job("j-aaaaaaaa", 1, "creators", state, "creators", "{}", to_json(CREATORS), "{}", "default", 0, 1.0, 2.0, 3)
    return replace(base, **{**values, **more})  # type: ignore[arg-type]
