"""What runners report becomes durable: the record, the item's place in the line, children, counters, all at once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from milepost.core import retry
from milepost.core.definition import Gives, PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Completed, Failure, Outcome, Report, ReportKind, StepCounts, TaskRef
from milepost.daemon.store import children, counters, recording, rows, saved
from milepost.daemon.store.counters import Change, Deltas
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load
from milepost.daemon.store.recording import Counted, Ended, Kind

_QUERIES = load("reports")
#: Different labels that are counted at one step; what comes beyond them is counted as OTHER.
MAX_LABELS = 100
OTHER = "other"
_OUTCOMES = {ReportKind.SUCCEEDED: Outcome.SUCCEEDED, ReportKind.SKIPPED: Outcome.SKIPPED}
ROOT = 0


@dataclass(frozen=True)
class Source:
    """The run whose runner tells something, and its job."""

    job_id: str
    sequence: int
    run_number: int
    definition: PipelineDefinition


@dataclass(frozen=True)
class Told:
    """The caller has checked that the run is open, and the runner's token."""

    source: Source
    reports: Iterable[Report]
    completed: Sequence[Completed] = ()


@dataclass(frozen=True)
class Applied:
    """What a batch of reports did, as far as those who hand out tasks must know."""

    #: Reports that no longer counted and changed nothing.
    superseded: tuple[TaskRef, ...] = ()
    #: The root's task was given up: the job cannot go on.
    failed_root: Failure | None = None
    #: When the first of those that failed is due again.
    next_due: float | None = None
    #: The job's steps, without their labels; none when nothing counted.
    steps: tuple[StepCounts, ...] = ()


def apply(tx: Transaction, told: Sequence[Told], now: float, jitter: Callable[[TaskRef], float]) -> list[Applied]:
    """Applies each report whose item still stands at its step with its epoch; the others change nothing.

    An answer for each that told. `jitter` gives 0..1. A failed attempt that will be tried again and a lost execution
    raise the item's epoch, so that the same report sent again is superseded.
    """
    deltas: dict[int, Deltas] = defaultdict(Deltas)
    batches = [_Batch(tx, one, now, jitter, deltas[one.source.sequence]) for one in told]
    alike: dict[Kind, list[tuple[_Batch, Completed]]] = defaultdict(list)
    for batch in batches:
        for kind, group in batch.sort_out().items():
            alike[kind].append((batch, group))
    # An item passes the steps in their order, also within one batch.
    for kind in sorted(alike, key=lambda kind: kind.step):
        _complete(tx, kind, alike[kind])
    for batch in batches:
        batch.end_others()
    _forget_saved(tx, batches)
    counted = {batch.source.sequence: batch.source for batch in batches if batch.has_counted}
    changes = [Change(one.job_id, sequence, one.definition, deltas[sequence]) for sequence, one in counted.items()]
    steps = counters.advance(tx, changes, now) if changes else {}
    return [
        Applied(tuple(batch.superseded), batch.failed_root, batch.next_due, steps.get(batch.source.sequence, ()))
        for batch in batches
    ]


def _checked(definition: PipelineDefinition, report: Report) -> Report | None:
    """The report as it counts; None when it names no step there is."""
    if not 0 <= report.ref.step < len(definition.steps):
        return None
    if report.children and (duplicate := children.duplicate_key(definition, report.children)) is not None:
        failure = Failure(children.DUPLICATE, "on_duplicate", duplicate.message, remedy=duplicate.remedy)
        return report._replace(kind=ReportKind.FAILED, failure=failure, children=())
    return report


def _complete(tx: Transaction, kind: Kind, groups: Sequence[tuple["_Batch", Completed]]) -> None:
    ended = [Ended(batch.source.sequence, batch.source.run_number, group) for batch, group in groups]
    for (batch, _), counted in zip(groups, recording.record(tx, kind, ended), strict=True):
        batch.count(counted)


def _forget_saved(tx: Transaction, batches: Sequence["_Batch"]) -> None:
    """A task that ended leaves no state behind."""
    sequences = [batch.source.sequence for batch in batches if batch.ended]
    keeping = saved.any_of(tx.connection, sequences) if sequences else ()
    for batch in batches:
        if batch.source.sequence in keeping:
            for step, items in batch.ended:
                saved.forget(tx, batch.source.sequence, step, items)


@dataclass
class _Batch:
    """What one run told: what it is worked with, and what it has come to so far."""

    tx: Transaction
    told: Told
    now: float
    jitter: Callable[[TaskRef], float]
    #: Of its job.
    deltas: Deltas
    has_counted: bool = False
    superseded: list[TaskRef] = field(default_factory=list)
    #: Tasks that ended for good: (step, items).
    ended: list[tuple[int, Sequence[int]]] = field(default_factory=list)
    failed_root: Failure | None = None
    next_due: float | None = None
    labels: dict[int, set[str]] = field(default_factory=dict)
    #: What is to be looked at one by one.
    others: list[Report] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return self.told.source

    def sort_out(self) -> dict[Kind, Completed]:
        """What is recorded together; the rest goes to `others`."""
        groups: list[Completed] = []
        apart: list[Report] = []
        for group in self.told.completed:
            if self._gives_one(group.step):
                groups.append(group)
            else:
                apart.extend(group.reports())
        one_by_one: dict[tuple[int, int, ReportKind, str], list[Report]] = defaultdict(list)
        for report in chain(self.told.reports, apart):
            known = _checked(self.source.definition, report)
            if known is None:
                self.superseded.append(report.ref)
            elif known.kind in _OUTCOMES and self._gives_one(known.ref.step):
                one_by_one[known.ref.step, known.ref.epoch, known.kind, known.label].append(known)
            else:
                self.others.append(known)
        alike: dict[Kind, list[Completed]] = defaultdict(list)
        for group in map(self._labelled, [*groups, *map(Completed.of, one_by_one.values())]):
            alike[Kind.of(group, self.source.definition)].append(group)
        return {kind: Completed.joined(groups) for kind, groups in alike.items()}

    def _gives_one(self, step: int) -> bool:
        steps = self.source.definition.steps
        return 0 <= step < len(steps) and steps[step].gives is Gives.ONE

    def count(self, counted: Counted) -> None:
        self.superseded.extend(counted.superseded)
        group = counted.group
        if group is None:
            return
        self.has_counted = True
        self.deltas.records[group.step, _OUTCOMES[group.kind], group.label] += len(group.items)
        self.deltas.started(group.step, min(group.start_times))
        self.ended.append((group.step, group.items))

    def end_others(self) -> None:
        for report in self.others:
            if report.kind in _OUTCOMES:
                self._complete_giving_many(report)
            else:
                self._end_incomplete(report)

    def _complete_giving_many(self, report: Report) -> None:
        group = self._labelled(Completed.of([report]))
        ended = Ended(self.source.sequence, self.source.run_number, group)
        counted = recording.record(self.tx, Kind.of(group, self.source.definition), [ended])[0]
        self.count(counted)
        if counted.group is not None:
            self._give(report)

    def _end_incomplete(self, report: Report) -> None:
        """It failed, was lost under its worker, or was given back."""
        ref = report.ref
        place = self.source.sequence, ref.item, ref.step, ref.epoch
        row = self.tx.execute(_QUERIES.standing, place).fetchone()
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

    def _labelled(self, group: Completed) -> Completed:
        return replace(group, label=self._counted_label(group.step, group.label)) if group.label else group

    def _counted_label(self, step: int, label: str) -> str:
        if not label:
            return label
        if step not in self.labels:
            labels = self.tx.execute(_QUERIES.labels, (self.source.sequence, step))
            self.labels[step] = {row["label"] for row in labels}
        known = self.labels[step]
        if label not in known and len(known) >= MAX_LABELS:
            return OTHER
        known.add(label)
        return label

    def _row(self, report: Report, failure: Failure) -> tuple[str | float | None, ...]:
        ref = report.ref
        return (
            Outcome.FAILED.value,
            report.label,
            report.result_json,
            self.source.run_number,
            report.start_time,
            report.end_time,
            report.folder,
            rows.to_json(failure),
            self.tx.revision,
            self.source.sequence,
            ref.item,
            ref.step,
            ref.epoch,
        )

    def _give(self, report: Report) -> None:
        """What the task gave, besides the chunks that came before."""
        shape = self.source.definition.steps[report.ref.step]
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
        first = self.source.definition.line_of_children(report.ref.step)
        if first is None:
            return None
        return children.counted(self.tx, self.source.sequence, first) + self.deltas.total[first.position]

    def _expand(self, report: Report) -> None:
        enumeration = report.enumeration or round(report.start_time * 1_000_000)
        children.store(
            self.tx,
            self.source.sequence,
            self.source.definition,
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
        children.drop_missing(
            self.tx, self.source.sequence, self.source.definition, report.ref, enumeration, self.now, self.deltas
        )

    def _fail(self, report: Report, key: str, attempts_used: int) -> None:
        ref = report.ref
        failure = report.failure or Failure("unknown", "", "It failed without saying why.")
        self._insert_attempt(report, key, attempts_used, failure)
        policy = self.source.definition.steps[ref.step].retry
        due = retry.after_failure(policy, attempts_used, failure, self.now, self.jitter(ref))
        if due is None:
            self._give_up(report, attempts_used, failure)
            return
        self.next_due = due if self.next_due is None else min(due, self.next_due)
        self.tx.execute(_QUERIES.retry, (due, attempts_used, self.source.sequence, ref.item))
        self.deltas.retrying[ref.step] += 1

    def _lose(self, report: Report, key: str, attempts_used: int, lost: int) -> None:
        if lost < retry.LOST_LIMIT:
            self.tx.execute(_QUERIES.lose, (lost, self.source.sequence, report.ref.item))
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
        sequence, run = self.source.sequence, self.source.run_number
        self.tx.execute(
            _QUERIES.insert_attempt,
            (sequence, ref.step, ref.item, key, number, run, *times, rows.to_json(failure)),
        )

    def _give_up(self, report: Report, attempts_used: int, failure: Failure) -> None:
        ref = report.ref
        self.tx.execute(_QUERIES.record, self._row(report, failure))
        self.tx.execute(_QUERIES.give_up, (report.label, attempts_used, self.source.sequence, ref.item))
        self.deltas.records[ref.step, Outcome.FAILED, report.label] += 1
        self.ended.append((ref.step, (ref.item,)))
        if ref.item == ROOT:
            self.failed_root = failure
