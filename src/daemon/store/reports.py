"""What runners report becomes durable: the record, the item's place in the line, children, counters, all at once."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from milepost.core import retry
from milepost.core.definition import PipelineDefinition
from milepost.core.model import Failure, ItemState, Outcome, Report, ReportKind, TaskRef
from milepost.daemon.store import children, counters, rows
from milepost.daemon.store.counters import Deltas
from milepost.daemon.store.queries import load
from milepost.daemon.store.store import Transaction

_QUERIES = load("reports")
#: Different labels that are counted at one step; what comes beyond them is counted as OTHER.
MAX_LABELS = 100
OTHER = "other"
_OUTCOMES = {ReportKind.SUCCEEDED: Outcome.SUCCEEDED, ReportKind.SKIPPED: Outcome.SKIPPED}
ROOT = 0


@dataclass(frozen=True)
class Applied:
    """What a batch of reports did, as far as those who hand out tasks must know."""

    #: Reports that no longer counted and changed nothing.
    superseded: tuple[TaskRef, ...] = ()
    #: The root's task was given up: the job cannot go on.
    failed_root: Failure | None = None


def apply(
    tx: Transaction,
    job_id: str,
    run_number: int,
    definition: PipelineDefinition,
    reports: Sequence[Report],
    now: float,
    jitter: Callable[[TaskRef], float],
) -> Applied:
    """Applies each report whose item still stands at its step with its epoch; the others change nothing.

    The caller has checked the run's token and that the run is open. `jitter` gives 0..1. A failed attempt that will be
    tried again and a lost execution raise the item's epoch, so that the same report sent again is superseded.
    """
    sequence = rows.sequence_of(tx.connection, job_id)
    batch = _Batch(tx, sequence, run_number, definition, now, jitter)
    completed: dict[int, list[Report]] = defaultdict(list)
    others = []
    seen: set[TaskRef] = set()
    for report in reports:
        known = _checked(definition, report)
        if known is None or report.ref in seen:
            batch.superseded.append(report.ref)
            continue
        seen.add(report.ref)
        if known.label:
            known = batch.labelled(known)
        if known.kind in _OUTCOMES:
            completed[known.ref.step].append(known)
        else:
            others.append(known)
    # An item passes the steps in their order, also within one batch.
    for step in sorted(completed):
        batch.complete(step, completed[step])
    for report in others:
        batch.interrupt(report)
    batch.forget_saved()
    if len(batch.superseded) < len(reports):
        counters.add(tx, job_id, sequence, definition, batch.deltas, now)
    return Applied(
        superseded=tuple(batch.superseded),
        failed_root=batch.failed_root,
    )


def _checked(definition: PipelineDefinition, report: Report) -> Report | None:
    """The report as it counts; None when it names no step there is."""
    if not 0 <= report.ref.step < len(definition.steps):
        return None
    if report.children and (duplicate := children.duplicate_key(definition, report.children)) is not None:
        failure = Failure(children.DUPLICATE, "on_duplicate", duplicate.message, remedy=duplicate.remedy)
        return report._replace(kind=ReportKind.FAILED, failure=failure, children=())
    return report


@dataclass
class _Batch:
    """One call of `apply`: what it works with, and what it has come to so far."""

    tx: Transaction
    sequence: int
    run: int
    definition: PipelineDefinition
    now: float
    jitter: Callable[[TaskRef], float]
    deltas: Deltas = field(default_factory=Deltas)
    superseded: list[TaskRef] = field(default_factory=list)
    ended: list[TaskRef] = field(default_factory=list)
    failed_root: Failure | None = None
    labels: dict[int, set[str]] = field(default_factory=dict)

    def labelled(self, report: Report) -> Report:
        """With the label that it is counted under."""
        step = report.ref.step
        if step not in self.labels:
            self.labels[step] = {row["label"] for row in self.tx.execute(_QUERIES.labels, (self.sequence, step))}
        known = self.labels[step]
        if report.label not in known and len(known) >= MAX_LABELS:
            return report._replace(label=OTHER)
        known.add(report.label)
        return report

    def complete(self, step: int, reports: list[Report]) -> None:
        """Records what succeeded or was skipped at one step: all together, or one by one when one does not count."""
        self.tx.execute("SAVEPOINT together")
        if self._record(step, reports) == 2 * len(reports):
            counted = reports
        else:
            self.tx.execute("ROLLBACK TO together")
            counted = []
            for report in reports:
                if self._record(step, [report]) == 2:
                    counted.append(report)
                else:
                    self.superseded.append(report.ref)
        self.tx.execute("RELEASE together")
        if counted:
            self._count(step, counted)

    def interrupt(self, report: Report) -> None:
        """A task that did not complete: it failed, was lost under its worker, or was given back."""
        ref = report.ref
        row = self.tx.execute(_QUERIES.standing, (self.sequence, ref.item, ref.step, ref.epoch)).fetchone()
        if row is None:
            self.superseded.append(ref)
            return
        if report.kind is ReportKind.RETURNED:
            return
        self.deltas.started(ref.step, report.start_time)
        if report.kind is ReportKind.LOST:
            self._lose(report, row["key"], row["attempts_used"], row["lost"] + 1)
        else:
            self._fail(report, row["key"], row["attempts_used"] + 1)

    def forget_saved(self) -> None:
        """A task that ended leaves no state behind."""
        if self.ended and self.tx.execute(_QUERIES.has_saved, (self.sequence,)).fetchone()[0]:
            self.tx.executemany(_QUERIES.forget_saved, [(self.sequence, ref.step, ref.item) for ref in self.ended])

    def _record(self, step: int, reports: list[Report]) -> int:
        """Rows changed: two for each report that counts."""
        rows_changed = self.tx.executemany(_QUERIES.record, [self._row(report) for report in reports]).rowcount
        alike: dict[tuple[ReportKind, str, int], list[int]] = defaultdict(list)
        for report in reports:
            alike[report.kind, report.label, report.ref.epoch].append(report.ref.item)
        for (kind, label, epoch), items in alike.items():
            rows_changed += self._move(step, kind, label, epoch, items)
        return rows_changed

    def _move(self, step: int, kind: ReportKind, label: str, epoch: int, items: list[int]) -> int:
        """Items that leave the step in the same way, in one statement; returns how many of them stood there."""
        following = self.definition.next_step(step) if kind is ReportKind.SUCCEEDED else None
        state = ItemState.PENDING if following is not None else ItemState(kind)
        place = {"job": self.sequence, "step": step, "epoch": epoch, "items": rows.dump(items)}
        onward = {"next_step": step if following is None else following, "state": state.value, "label": label}
        return self.tx.execute(_QUERIES.move, place | onward).rowcount

    def _row(self, report: Report, failure: Failure | None = None) -> tuple[str | float | None, ...]:
        ref = report.ref
        # `.value`: SQLite takes a plain str at once, and looks for an adapter for anything else.
        return (
            Outcome.FAILED.value if failure else report.kind.value,
            report.label,
            report.result_json,
            self.run,
            report.start_time,
            report.end_time,
            report.folder,
            rows.to_json(failure),
            self.tx.revision,
            self.sequence,
            ref.item,
            ref.step,
            ref.epoch,
        )

    def _count(self, step: int, reports: list[Report]) -> None:
        shape = self.definition.steps[step]
        for report in reports:
            self.deltas.records[step, _OUTCOMES[report.kind], report.label] += 1
            if shape.enumerates:
                self._end_enumeration(report)
            elif shape.feeds is not None and (report.children or report.ref.epoch > 0):
                self._expand(report)
        self.deltas.started(step, min(report.start_time for report in reports))
        self.ended += [report.ref for report in reports]

    def _end_enumeration(self, report: Report) -> None:
        """The children came before, in chunks; where there are more, an enumeration before this one gave them."""
        there = children.counted(self.tx, self.sequence, self.definition, report.ref.step)
        if report.enumeration and there != report.enumerated:
            self._drop_missing(report, report.enumeration)

    def _expand(self, report: Report) -> None:
        enumeration = report.enumeration or round(report.start_time * 1_000_000)
        children.store(
            self.tx,
            self.sequence,
            self.definition,
            report.ref,
            enumeration,
            0,
            report.children,
            self.now,
            self.deltas,
        )
        if report.ref.epoch > 0:  # it has run before
            self._drop_missing(report, enumeration)

    def _drop_missing(self, report: Report, enumeration: int) -> None:
        children.drop_missing(self.tx, self.sequence, self.definition, report.ref, enumeration, self.now, self.deltas)

    def _fail(self, report: Report, key: str, attempts_used: int) -> None:
        ref = report.ref
        failure = report.failure or Failure("unknown", "", "It failed without saying why.")
        self._insert_attempt(report, key, attempts_used, failure)
        policy = self.definition.steps[ref.step].retry
        due = retry.after_failure(policy, attempts_used, failure, self.now, self.jitter(ref))
        if due is None:
            self._give_up(report, attempts_used, failure)
            return
        self.tx.execute(_QUERIES.retry, (due, attempts_used, self.sequence, ref.item))
        self.deltas.retrying[ref.step] += 1

    def _lose(self, report: Report, key: str, attempts_used: int, lost: int) -> None:
        if lost < retry.LOST_LIMIT:
            self.tx.execute(_QUERIES.lose, (lost, self.sequence, report.ref.item))
            return
        how = report.failure or Failure(
            retry.LOST_WORKER, "", "", remedy="See the job's log for what ended the worker."
        )
        text = f"Its worker died under it {lost} times, with it alone from the second time on. {how.message}".strip()
        failure = Failure(retry.LOST_WORKER, how.rule, text, remedy=how.remedy)
        self._insert_attempt(report, key, attempts_used + 1, failure)
        self._give_up(report, attempts_used, failure)

    def _insert_attempt(self, report: Report, key: str, number: int, failure: Failure) -> None:
        ref, times = report.ref, (report.start_time, report.end_time)
        self.tx.execute(
            _QUERIES.insert_attempt,
            (self.sequence, ref.step, ref.item, key, number, self.run, *times, rows.to_json(failure)),
        )

    def _give_up(self, report: Report, attempts_used: int, failure: Failure) -> None:
        ref = report.ref
        self.tx.execute(_QUERIES.record, self._row(report, failure))
        self.tx.execute(_QUERIES.give_up, (report.label, attempts_used, self.sequence, ref.item))
        self.deltas.records[ref.step, Outcome.FAILED, report.label] += 1
        self.ended.append(ref)
        if ref.item == ROOT:
            self.failed_root = failure
