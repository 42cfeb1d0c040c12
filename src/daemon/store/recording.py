"""Tasks that completed alike become records and their items move on: many at a time, of one job or of several.

A record is made only while the item still stands at its step with its epoch. That shows when it is done: where not all
of them count, what was written is undone, and done again for those that do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from milepost.core.definition import PipelineDefinition
from milepost.core.model import Completed, ItemState, Report, ReportKind, TaskRef
from milepost.daemon.store import rows
from milepost.daemon.store.bulk import Bulk
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("recording")
_RECORD_FIRST = Bulk(_QUERIES.record_first, row="(?, ?, ?, ?, ?)")
#: Tasks of a job that are recorded in one statement with those of other jobs.
_FEW = 10


class Kind(NamedTuple):
    """In what they are alike: how they ended, and what becomes of their items."""

    step: int
    epoch: int
    outcome: str
    label: str
    next_step: int
    state: str

    @staticmethod
    def of(group: Completed, definition: PipelineDefinition) -> "Kind":
        following = definition.next_step(group.step) if group.kind is ReportKind.SUCCEEDED else None
        outcome = group.kind.value
        onward = (group.step, outcome) if following is None else (following, ItemState.PENDING.value)
        return Kind(group.step, group.epoch, outcome, group.label, *onward)


@dataclass(frozen=True)
class Ended:
    """Tasks of a kind which this run of this job (by its number) says have ended."""

    job: int
    run: int
    group: Completed

    @property
    def are_few(self) -> bool:
        """Whether a statement for this job alone would cost more than it saves."""
        return len(self.group.items) <= _FEW


@dataclass(frozen=True)
class Counted:
    """Those that count, None when none does, and the others."""

    group: Completed | None
    superseded: Sequence[TaskRef] = ()


def record(tx: Transaction, kind: Kind, ended: Sequence[Ended]) -> list[Counted]:
    """What counts of each."""
    few = [one for one in ended if one.are_few]
    all_count = len(few) > 1 and _record_together(tx, kind, few)
    return [Counted(one.group) if all_count and one.are_few else _record_of_job(tx, kind, one) for one in ended]


def _record_together(tx: Transaction, kind: Kind, ended: Sequence[Ended]) -> bool:
    """Whether all of them count. When not, nothing was written."""
    tx.execute("SAVEPOINT together")
    all_count = _record_of_jobs(tx, kind, ended)
    if not all_count:
        tx.execute("ROLLBACK TO together")
    tx.execute("RELEASE together")
    return all_count


def _record_of_jobs(tx: Transaction, kind: Kind, ended: Sequence[Ended]) -> bool:
    """Whether all of them count. When not, what was written is to be undone."""
    tasks = [(one.job, item, *rest, one.run) for one in ended for item, *rest in _rows(one.group)]
    parameters = kind._asdict() | {"tasks": rows.dump(tasks), "revision": tx.revision}
    return (
        len({(job, item) for job, item, *_ in tasks}) == len(tasks)
        and tx.execute(_QUERIES.record_of_jobs, parameters).rowcount == len(tasks)
        and tx.execute(_QUERIES.move_of_jobs, parameters).rowcount == len(tasks)
    )


def _record_of_job(tx: Transaction, kind: Kind, ended: Ended) -> Counted:
    if len(ended.group.items) == 1:
        counts = _record(tx, kind, ended)  # when not, nothing was written
        return Counted(ended.group) if counts else Counted(None, [report.ref for report in ended.group.reports()])
    tx.execute("SAVEPOINT together")
    counted = Counted(ended.group)
    if not _record(tx, kind, ended):
        tx.execute("ROLLBACK TO together")
        counted = _counting(tx, ended)
        if counted.group is not None:
            _record(tx, kind, Ended(ended.job, ended.run, counted.group))
    tx.execute("RELEASE together")
    return counted


def _record(tx: Transaction, kind: Kind, ended: Ended) -> bool:
    """Whether all of them count. When not, what was written is to be undone."""
    if len(set(ended.group.items)) < len(ended.group.items):
        return False
    if kind.epoch == 0:
        return _move(tx, kind, ended) and _record_first(tx, kind, ended)
    return _record_again(tx, kind, ended) and _move(tx, kind, ended)


def _move(tx: Transaction, kind: Kind, ended: Ended) -> bool:
    items = ended.group.items
    place: dict[str, object] = kind._asdict() | {"job": ended.job, "first": min(items), "last": max(items)}
    if max(items) - min(items) + 1 == len(items):  # the usual case where tasks are short: no list to look them up in
        moved = tx.execute(_QUERIES.move_range, place)
    else:
        moved = tx.execute(_QUERIES.move, place | {"items": rows.dump(items)})
    return moved.rowcount == len(items)


def _record_first(tx: Transaction, kind: Kind, ended: Ended) -> bool:
    """Of items in their first epoch, in which nothing has failed or was lost: it is each task's first attempt."""
    shared = (ended.job, kind.step, kind.outcome, kind.label, ended.run, tx.revision)
    _RECORD_FIRST.execute(tx, shared, _columns(ended.group))
    return True


def _record_again(tx: Transaction, kind: Kind, ended: Ended) -> bool:
    new = {"job": ended.job, "tasks": rows.dump(_rows(ended.group)), "run": ended.run, "revision": tx.revision}
    return tx.execute(_QUERIES.record, kind._asdict() | new).rowcount == len(ended.group.items)


def _columns(group: Completed) -> Sequence[Sequence[Any]]:
    """Any: what SQLite stores."""
    return group.items, group.results_json, group.start_times, group.end_times, group.folders


def _rows(group: Completed) -> list[tuple[Any, ...]]:
    return list(zip(*_columns(group), strict=True))


def _counting(tx: Transaction, ended: Ended) -> Counted:
    """Each once."""
    group = ended.group
    place = {"job": ended.job, "step": group.step, "epoch": group.epoch, "items": rows.dump(group.items)}
    standing = {row["id"] for row in tx.execute(_QUERIES.standing, place)}
    counting: list[Report] = []
    superseded = []
    for report in group.reports():
        if report.ref.item in standing:
            standing.remove(report.ref.item)
            counting.append(report)
        else:
            superseded.append(report.ref)
    return Counted(Completed.of(counting) if counting else None, superseded)
