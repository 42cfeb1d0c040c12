"""The counters of steps, changed by delta in the transaction that changes the rows they count."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from milepost.core import progress
from milepost.core.definition import PipelineDefinition
from milepost.core.model import Outcome, StepCounts
from milepost.daemon.store import rows
from milepost.daemon.store.advance import Advance
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("counters")
_COLUMNS = {outcome: outcome.lower() for outcome in Outcome}


_NO_CHANGE: dict[str, float | None] = {
    "total": 0, "succeeded": 0, "failed": 0, "skipped": 0, "retrying": 0, "start_time": None,
}  # fmt: skip


@dataclass
class Deltas:
    """What changed, by step position; gathered through a transaction and added once."""

    total: Counter[int] = field(default_factory=Counter)
    retrying: Counter[int] = field(default_factory=Counter)
    records: Counter[tuple[int, Outcome, str]] = field(default_factory=Counter)
    #: When the first task of a step that was reported began.
    start_times: dict[int, float] = field(default_factory=dict)

    def started(self, step: int, time: float) -> None:
        if time < self.start_times.get(step, float("inf")):
            self.start_times[step] = time

    def by_step(self) -> dict[int, dict[str, float | None]]:
        steps: dict[int, dict[str, float | None]] = {}

        def count(step: int, column: str, number: int) -> None:
            columns = steps.setdefault(step, _NO_CHANGE.copy())
            columns[column] = (columns[column] or 0) + number

        for (step, outcome, _), number in self.records.items():
            count(step, _COLUMNS[outcome], number)
        for step, number in self.total.items():
            count(step, "total", number)
        for step, number in self.retrying.items():
            count(step, "retrying", number)
        for step, time in self.start_times.items():
            steps.setdefault(step, _NO_CHANGE.copy())["start_time"] = time
        return steps


@dataclass(frozen=True)
class Change:
    """What changed of one job."""

    job_id: str
    sequence: int
    definition: PipelineDefinition
    deltas: Deltas


def add(
    tx: Transaction, job_id: str, sequence: int, definition: PipelineDefinition, deltas: Deltas, now: float
) -> None:
    """Adds the deltas of a job of which something else may have changed, and touches it."""
    _add(tx, [Change(job_id, sequence, definition, deltas)], now)
    tx.touched.add(job_id)


def advance(tx: Transaction, changes: Sequence[Change], now: float) -> dict[int, tuple[StepCounts, ...]]:
    """Adds the deltas of different jobs, of which nothing else has changed.

    Returns the steps of each as they are then, without their labels, by the job's sequence.
    """
    found = _add(tx, changes, now)
    for change in changes:
        revision, steps = found[change.sequence]
        if change.deltas.retrying:
            tx.touched.add(change.job_id)  # when the next one is due is not known here
        else:
            tx.advance(change.job_id, Advance(revision, tx.revision, now, steps, change.deltas.records))
    return {sequence: steps for sequence, (_, steps) in found.items()}


def _add(tx: Transaction, changes: Sequence[Change], now: float) -> dict[int, tuple[int, tuple[StepCounts, ...]]]:
    """Adds the deltas, settles which totals are known and which steps have ended, and stamps the jobs.

    Returns the revision that each had until now, and its steps as they are then.
    """
    steps = [
        {"job": change.sequence, "step": step, **columns}
        for change in changes
        for step, columns in change.deltas.by_step().items()
    ]
    if steps:
        tx.execute(_QUERIES.add, (rows.dump(steps),))
    labels = [
        (change.sequence, step, outcome.value, label, number)
        for change in changes
        for (step, outcome, label), number in change.deltas.records.items()
        if number
    ]
    if labels and tx.execute(_QUERIES.add_labels, (rows.dump(labels),)).rowcount < len(labels):
        tx.execute(_QUERIES.insert_labels, (rows.dump(labels),))
    settled = _settle(tx, {change.sequence: change.definition for change in changes}, now)
    tx.touch_active([change.job_id for change in changes], now)
    return settled


def steps_of(db: sqlite3.Connection, sequence: int) -> tuple[StepCounts, ...]:
    """The steps of a job as they are stored, without their labels."""
    return tuple(_stored(db, [sequence])[sequence][1])


def _stored(db: sqlite3.Connection, sequences: Sequence[int]) -> dict[int, tuple[int, list[StepCounts]]]:
    """By the job's sequence: its revision, and its steps without their labels."""
    found: dict[int, tuple[int, list[StepCounts]]] = {}
    for (
        sequence,
        revision,
        position,
        name,
        total,
        known,
        succeeded,
        failed,
        skipped,
        start_time,
        end_time,
    ) in db.execute(_QUERIES.steps, (rows.dump(sequences),)):
        step = StepCounts(position, name, total, bool(known), succeeded, failed, skipped, (), start_time, end_time)
        found.setdefault(sequence, (revision, []))[1].append(step)
    return found


def _settle(
    tx: Transaction, definitions: Mapping[int, PipelineDefinition], now: float
) -> dict[int, tuple[int, tuple[StepCounts, ...]]]:
    """The total of a line is known when the step that feeds it has ended; a step ends when nothing of it remains.

    Returns the revision of each job, and its steps as they are then.
    """
    found = {}
    for sequence, (revision, stored) in _stored(tx.connection, list(definitions)).items():
        settled = _settled(definitions[sequence], stored, now)
        for step, before in zip(settled, stored, strict=True):
            if step is not before:
                tx.execute(_QUERIES.settle, (step.total_known, step.end_time, sequence, step.position))
        found[sequence] = revision, settled
    return found


def _settled(definition: PipelineDefinition, steps: Sequence[StepCounts], now: float) -> tuple[StepCounts, ...]:
    """The same values for those that stay as they are.

    Nothing has ended behind a step that the whole job needs and that failed: a resume runs it again.
    """
    known_lines = {0}
    is_held = False
    result = []
    for step, shape, (remaining, _) in zip(
        steps, definition.steps, progress.open_tasks_of(definition, steps), strict=True
    ):
        known = shape.line in known_lines
        ended = known and remaining == 0 and not is_held
        is_held = is_held or (shape.line == 0 and step.failed > 0)
        if ended and not is_held and shape.feeds is not None:
            known_lines.add(shape.feeds)
        if (known, ended) != (step.total_known, step.end_time is not None):
            result.append(step._replace(total_known=known, end_time=(step.end_time or now) if ended else None))
        else:
            result.append(step)
    return tuple(result)
