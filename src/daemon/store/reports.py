"""What runners report becomes durable: the record, the item's place in the line, children, counters, all at once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from milepost.core import retry
from milepost.core.definition import Gives, PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Completed, Failure, ItemState, Outcome, Report, ReportKind, TaskRef
from milepost.daemon.store import children, counters, rows, saved
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
    reports: Iterable[Report],
    now: float,
    jitter: Callable[[TaskRef], float],
    completed: Sequence[Completed] = (),
) -> Applied:
    """Applies each report whose item still stands at its step with its epoch; the others change nothing.

    The caller has checked the run's token and that the run is open. `jitter` gives 0..1. A failed attempt that will be
    tried again and a lost execution raise the item's epoch, so that the same report sent again is superseded.
    """
    sequence = rows.sequence_of(tx.connection, job_id)
    batch = _Batch(tx, sequence, run_number, definition, now, jitter)
    groups, others = batch.sort_out(reports, completed)
    # An item passes the steps in their order, also within one batch.
    for group in sorted(groups, key=lambda group: group.step):
        batch.complete(group)
    for report in others:
        batch.end(report)
    batch.forget_saved()
    if batch.has_counted:
        counters.add(tx, job_id, sequence, definition, batch.deltas, now)
    return Applied(superseded=tuple(batch.superseded), failed_root=batch.failed_root)


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
    has_counted: bool = False
    superseded: list[TaskRef] = field(default_factory=list)
    #: Tasks that ended for good: (step, items).
    ended: list[tuple[int, Sequence[int]]] = field(default_factory=list)
    failed_root: Failure | None = None
    labels: dict[int, set[str]] = field(default_factory=dict)

    def sort_out(
        self, reports: Iterable[Report], completed: Sequence[Completed]
    ) -> tuple[list[Completed], list[Report]]:
        """What is recorded together, and what must be looked at one by one."""
        groups = [group for group in completed if self._gives_one(group.step)]
        told = (group.reports() for group in completed if not self._gives_one(group.step))
        alike: dict[tuple[int, int, ReportKind, str], list[Report]] = defaultdict(list)
        others: list[Report] = []
        for report in chain(reports, *told):
            known = _checked(self.definition, report)
            if known is None:
                self.superseded.append(report.ref)
            elif known.kind in _OUTCOMES and self._gives_one(known.ref.step):
                alike[known.ref.step, known.ref.epoch, known.kind, known.label].append(known)
            else:
                others.append(known)
        return [*groups, *map(Completed.of, alike.values())], others

    def _gives_one(self, step: int) -> bool:
        return 0 <= step < len(self.definition.steps) and self.definition.steps[step].gives is Gives.ONE

    def complete(self, group: Completed) -> bool:
        """Whether any of them counts."""
        if group.label:
            group = replace(group, label=self._counted_label(group.step, group.label))
        if len(group.items) == 1:
            if not self._record(group):  # then nothing of it was written
                self.superseded.extend(report.ref for report in group.reports())
                return False
        else:
            counting = self._record_together(group)
            if counting is None:
                return False
            group = counting
        self.has_counted = True
        self.deltas.records[group.step, _OUTCOMES[group.kind], group.label] += len(group.items)
        self.deltas.started(group.step, min(group.start_times))
        self.ended.append((group.step, group.items))
        return True

    def _record_together(self, group: Completed) -> Completed | None:
        """Those that count; None when none does."""
        self.tx.execute("SAVEPOINT together")
        if not self._record(group):
            self.tx.execute("ROLLBACK TO together")
            counting = self._counting(group)
            if not counting:
                self.tx.execute("RELEASE together")
                return None
            group = Completed.of(counting)
            self._record(group)
        self.tx.execute("RELEASE together")
        return group

    def end(self, report: Report) -> None:
        """A task that gives many, or one that did not complete: it failed, was lost under its worker, or given back."""
        if report.kind in _OUTCOMES:
            if self.complete(Completed.of([report])):
                self._give(report)
            return
        ref = report.ref
        row = self.tx.execute(_QUERIES.standing, (self.sequence, ref.item, ref.step, ref.epoch)).fetchone()
        if row is None:
            self.superseded.append(ref)
            return
        self.has_counted = True
        if report.kind is ReportKind.RETURNED:
            return
        report = report._replace(label=self._counted_label(ref.step, report.label))
        self.deltas.started(ref.step, report.start_time)
        if report.kind is ReportKind.LOST:
            self._lose(report, row["key"], row["attempts_used"], row["lost"] + 1)
        else:
            self._fail(report, row["key"], row["attempts_used"] + 1)

    def forget_saved(self) -> None:
        """A task that ended leaves no state behind."""
        if self.ended and saved.any_of(self.tx.connection, self.sequence):
            for step, items in self.ended:
                saved.forget(self.tx, self.sequence, step, items)

    def _counted_label(self, step: int, label: str) -> str:
        if not label:
            return label
        if step not in self.labels:
            self.labels[step] = {row["label"] for row in self.tx.execute(_QUERIES.labels, (self.sequence, step))}
        known = self.labels[step]
        if label not in known and len(known) >= MAX_LABELS:
            return OTHER
        known.add(label)
        return label

    def _record(self, group: Completed) -> bool:
        """Whether all of them counted. When not, what was written is to be undone."""
        place = {"job": self.sequence, "step": group.step, "epoch": group.epoch, "label": group.label}
        columns = group.items, group.results_json, group.start_times, group.end_times, group.folders
        tasks = rows.dump(list(zip(*columns, strict=True)))
        new = {"tasks": tasks, "outcome": group.kind.value, "run": self.run, "revision": self.tx.revision}
        following = self.definition.next_step(group.step) if group.kind is ReportKind.SUCCEEDED else None
        onward = {
            "items": rows.dump(group.items),
            "next_step": group.step if following is None else following,
            "state": group.kind.value if following is None else ItemState.PENDING.value,
        }
        return (
            len(set(group.items)) == len(group.items)
            and self.tx.execute(_QUERIES.record_alike, place | new).rowcount == len(group.items)
            and self.tx.execute(_QUERIES.move, place | onward).rowcount == len(group.items)
        )

    def _counting(self, group: Completed) -> list[Report]:
        """Those that count, each once; the others are superseded."""
        place = {"job": self.sequence, "step": group.step, "epoch": group.epoch, "items": rows.dump(group.items)}
        standing = {row["id"] for row in self.tx.execute(_QUERIES.standing_alike, place)}
        counting = []
        for report in group.reports():
            if report.ref.item in standing:
                standing.remove(report.ref.item)
                counting.append(report)
            else:
                self.superseded.append(report.ref)
        return counting

    def _row(self, report: Report, failure: Failure) -> tuple[str | float | None, ...]:
        ref = report.ref
        return (
            Outcome.FAILED.value,
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

    def _give(self, report: Report) -> None:
        """What the task gave, besides the chunks that came before."""
        shape = self.definition.steps[report.ref.step]
        if shape.enumerates:
            self._end_enumeration(report)
        elif shape.feeds is not None and (report.children or report.ref.epoch > 0):
            self._expand(report)

    def _end_enumeration(self, report: Report) -> None:
        """The children came before, in chunks; where there are more, an enumeration before this one gave them."""
        if not report.enumeration:
            return
        there = self._children_of(report)
        if there != report.enumerated:
            self._drop_missing(report, report.enumeration)
            there = self._children_of(report)
        if there is not None and there != report.enumerated:
            raise MilepostError(
                Code.INVALID_ARGUMENT, f"A runner says that it gave {report.enumerated:,} items, and {there:,} came."
            )

    def _children_of(self, report: Report) -> int | None:
        """How many there are now; None when no step follows that counts them."""
        first = self.definition.line_of_children(report.ref.step)
        if first is None:
            return None
        return children.counted(self.tx, self.sequence, first) + self.deltas.total[first.position]

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
        self.ended.append((ref.step, (ref.item,)))
        if ref.item == ROOT:
            self.failed_root = failure
