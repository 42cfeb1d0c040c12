"""The counters of steps, changed by delta in the transaction that changes the rows they count."""

from collections import Counter
from dataclasses import dataclass, field

from milepost.core import progress
from milepost.core.definition import PipelineDefinition
from milepost.core.model import Outcome, StepCounts
from milepost.daemon.store.queries import load
from milepost.daemon.store.store import Transaction

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


def add(
    tx: Transaction, job_id: str, sequence: int, definition: PipelineDefinition, deltas: Deltas, now: float
) -> None:
    """Adds the deltas, touches the job, and settles which totals are known and which steps have ended."""
    for step, columns in deltas.by_step().items():
        tx.execute(_QUERIES.add, columns | {"job": sequence, "step": step})
    for (step, outcome, label), number in deltas.records.items():
        counted = (number, sequence, step, outcome.value, label)
        if number and tx.execute(_QUERIES.add_label, counted).rowcount == 0:
            tx.execute(_QUERIES.insert_label, counted)
    tx.touch(job_id, active=now)
    _settle(tx, sequence, definition, now)


def _settle(tx: Transaction, sequence: int, definition: PipelineDefinition, now: float) -> None:
    """The total of a line is known when the step that feeds it has ended; a step ends when nothing of it remains."""
    stored = tx.execute(_QUERIES.steps, (sequence,)).fetchall()
    steps = [
        StepCounts(row["position"], row["name"], row["total"], True, row["succeeded"], row["failed"], row["skipped"])
        for row in stored
    ]
    known_lines = {0}
    open_tasks = progress.open_tasks_of(definition, steps)
    for row, shape, (remaining, _) in zip(stored, definition.steps, open_tasks, strict=True):
        known = shape.line in known_lines
        ended = known and remaining == 0
        if ended and shape.feeds is not None:
            known_lines.add(shape.feeds)
        if (known, ended) == (bool(row["total_known"]), row["end_time"] is not None):
            continue
        end_time = (row["end_time"] or now) if ended else None
        tx.execute(_QUERIES.settle, (known, end_time, sequence, shape.position))
