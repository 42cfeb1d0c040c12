"""The counters of steps, changed by delta in the transaction that changes the rows they count."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from milepost.core import progress
from milepost.core.definition import PipelineDefinition
from milepost.core.model import Outcome, StepCounts
from milepost.daemon.store import rows
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
    """As `add_all`, for one job."""
    add_all(tx, [Change(job_id, sequence, definition, deltas)], now)


def add_all(tx: Transaction, changes: Sequence[Change], now: float) -> dict[int, tuple[StepCounts, ...]]:
    """Adds the deltas of different jobs, touches these, and settles which totals are known and which steps have ended.

    Returns the steps of each as they are then, without their labels, by the job's sequence.
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
    tx.touch_active([change.job_id for change in changes], now)
    return _settle(tx, {change.sequence: change.definition for change in changes}, now)


def steps_of(db: sqlite3.Connection, sequences: Sequence[int]) -> dict[int, list[StepCounts]]:
    """The steps of these jobs as they are stored, without their labels, by the job's sequence."""
    found: dict[int, list[StepCounts]] = {sequence: [] for sequence in sequences}
    for sequence, position, name, total, known, succeeded, failed, skipped, start_time, end_time in db.execute(
        _QUERIES.steps, (rows.dump(sequences),)
    ):
        step = StepCounts(position, name, total, bool(known), succeeded, failed, skipped, (), start_time, end_time)
        found[sequence].append(step)
    return found


def _settle(
    tx: Transaction, definitions: Mapping[int, PipelineDefinition], now: float
) -> dict[int, tuple[StepCounts, ...]]:
    """The total of a line is known when the step that feeds it has ended; a step ends when nothing of it remains."""
    stored = steps_of(tx.connection, list(definitions))
    settled = {sequence: _settled(definitions[sequence], steps, now) for sequence, steps in stored.items()}
    for sequence, steps in settled.items():
        for step, before in zip(steps, stored[sequence], strict=True):
            if step is not before:
                tx.execute(_QUERIES.settle, (step.total_known, step.end_time, sequence, step.position))
    return settled


def _settled(definition: PipelineDefinition, steps: Sequence[StepCounts], now: float) -> tuple[StepCounts, ...]:
    """The same values for those that stay as they are."""
    known_lines = {0}
    result = []
    for step, shape, (remaining, _) in zip(
        steps, definition.steps, progress.open_tasks_of(definition, steps), strict=True
    ):
        known = shape.line in known_lines
        ended = known and remaining == 0
        if ended and shape.feeds is not None:
            known_lines.add(shape.feeds)
        if (known, ended) != (step.total_known, step.end_time is not None):
            result.append(step._replace(total_known=known, end_time=(step.end_time or now) if ended else None))
        else:
            result.append(step)
    return tuple(result)
