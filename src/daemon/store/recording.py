"""Tasks that completed alike become records and their items move on, by two statements for all of them, of any jobs.

A record is made only while the item still stands at its step with its epoch. That shows when it is done: where not all
of them count, what was written is undone, and done again for those that do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from milepost.core.definition import PipelineDefinition
from milepost.core.model import Completed, ItemState, Report, ReportKind, TaskRef
from milepost.daemon.store import rows
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("recording")


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


@dataclass(frozen=True)
class Counted:
    """Those that count, None when none does, and the others."""

    group: Completed | None
    superseded: Sequence[TaskRef] = ()


def record(tx: Transaction, kind: Kind, ended: Sequence[Ended]) -> list[Counted]:
    """What counts of each."""
    if len(ended) > 1:
        tx.execute("SAVEPOINT together")
        all_count = _record_of_jobs(tx, kind, ended)
        if not all_count:
            tx.execute("ROLLBACK TO together")
        tx.execute("RELEASE together")
        if all_count:
            return [Counted(one.group) for one in ended]
    return [_record_of_job(tx, kind, one) for one in ended]


def _record_of_jobs(tx: Transaction, kind: Kind, ended: Sequence[Ended]) -> bool:
    """Whether all of them count. When not, what was written is to be undone."""
    tasks = [(one.job, item, *rest, one.run) for one in ended for item, *rest in _columns(one.group)]
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
    items = ended.group.items
    parameters = kind._asdict() | {"job": ended.job}
    new = {"tasks": rows.dump(list(_columns(ended.group))), "run": ended.run, "revision": tx.revision}
    return (
        len(set(items)) == len(items)
        and tx.execute(_QUERIES.record, parameters | new).rowcount == len(items)
        and tx.execute(_QUERIES.move, parameters | {"items": rows.dump(items)}).rowcount == len(items)
    )


def _columns(group: Completed) -> "zip[tuple[int, str, float, float, str]]":
    return zip(group.items, group.results_json, group.start_times, group.end_times, group.folders, strict=True)


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
