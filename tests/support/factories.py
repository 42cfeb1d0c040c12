"""Values for tests: each call fills in what the test does not care about."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from milepost.core.definition import (
    Executor,
    Gives,
    OnDuplicate,
    PipelineDefinition,
    RetryPolicy,
    StepDefinition,
    Takes,
    lines_for,
    to_json,
)
from milepost.core.model import Child, Event, Failure, Job, JobState, Report, ReportKind, Run, TaskRef

NOW = 1_700_000_000.0


def step(name: str, takes: Takes = Takes.EACH, gives: Gives = Gives.ONE, **values: Any) -> StepDefinition:
    return StepDefinition(0, name, takes, gives, Executor.ASYNC, 0, **values)


def pipeline(
    *steps: StepDefinition, on_duplicate: OnDuplicate = OnDuplicate.SKIP, name: str = "creators"
) -> PipelineDefinition:
    return PipelineDefinition(name, lines_for(list(steps)), key="handle", on_duplicate=on_duplicate)


def creators(attempts: int = 3, on_duplicate: OnDuplicate = OnDuplicate.SKIP) -> PipelineDefinition:
    """The shape of W3: rows, fetch and score each, a report over all."""
    retry = RetryPolicy(attempts=attempts)
    return pipeline(
        step("rows", gives=Gives.MANY, enumerates=True),
        step("fetch", retry=retry),
        step("score", retry=retry),
        step("report", takes=Takes.ALL, retry=retry),
        on_duplicate=on_duplicate,
    )


def job(job_id: str = "j-aaaaaaaa", definition: PipelineDefinition | None = None, **values: Any) -> Job:
    """Queued, unless `values` say otherwise."""
    queued = Job(
        id=job_id,
        sequence=0,
        name="creators",
        state=JobState.QUEUED,
        pipeline="creators",
        source_json="{}",
        definition_json=to_json(definition or creators()),
        parameters_json="{}",
        queue="default",
        priority=0,
        create_time=NOW,
        activity_time=NOW,
        revision=0,
        queue_time=NOW,
    )
    return replace(queued, **values)


def run(job_id: str = "j-aaaaaaaa", number: int = 1, **values: Any) -> Run:
    return replace(Run(job_id, number, f"mark-{job_id}-{number}", "0" * 64, NOW), **values)


def event(kind: str = "COMMAND", **values: Any) -> Event:
    return replace(Event(kind, NOW, "ada", "cli", "Asked."), **values)


def failure(error_class: str = "network", **values: Any) -> Failure:
    return replace(Failure(error_class, "default", "No answer."), **values)


def report(kind: ReportKind, step: int, item: int, epoch: int = 0, **values: Any) -> Report:
    if kind is ReportKind.FAILED and "failure" not in values:
        values["failure"] = failure()
    return Report(TaskRef(step, item, epoch), kind, NOW, NOW + 1)._replace(**values)


def succeeded(step: int, item: int, epoch: int = 0, **values: Any) -> Report:
    return report(ReportKind.SUCCEEDED, step, item, epoch, **values)


def failed(step: int, item: int, epoch: int = 0, error_class: str = "network") -> Report:
    return report(ReportKind.FAILED, step, item, epoch, failure=failure(error_class))


def rows_of(keys: Sequence[str]) -> list[Child]:
    return [Child(key, f'{{"handle":"{key}"}}') for key in keys]


def no_jitter() -> Callable[[TaskRef], float]:
    return lambda _: 0.0
