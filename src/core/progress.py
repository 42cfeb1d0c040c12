"""Counts, percent, rate and ETA, derived from what the store counts and what is in flight.

`succeeded + failed + skipped + upstream + in_flight + pending = total` holds by construction: what left the line and
what is pending are computed here, never stored.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from milepost.core.definition import PipelineDefinition
from milepost.core.model import LabelCount, Outcome, StepCounts

#: Seconds of history that the rate is taken over (P2).
RATE_WINDOW = 60.0
#: With less history than this, in seconds, a rate says nothing.
RATE_MINIMUM = 1.0


class Counts(NamedTuple):
    total: int
    total_known: bool
    succeeded: int
    failed: int
    skipped: int
    upstream: int
    in_flight: int
    pending: int

    @property
    def processed(self) -> int:
        return self.succeeded + self.failed + self.skipped

    @property
    def remaining(self) -> int:
        return self.pending + self.in_flight


_total_known = attrgetter("total_known")


class Sample(NamedTuple):
    """How many tasks had been processed at a time (Unix seconds)."""

    time: float
    processed: int


def step_counts(
    definition: PipelineDefinition, steps: Sequence[StepCounts], in_flight: Mapping[int, int]
) -> tuple[Counts, ...]:
    """Counts by step, in order. `in_flight`: tasks executing now by step position, as the runner last said."""
    result = []
    for step, (open_tasks, upstream) in zip(steps, open_tasks_of(definition, steps), strict=True):
        position, _, total, total_known, succeeded, failed, skipped, *_ = step
        executing = min(open_tasks, in_flight[position]) if position in in_flight else 0
        pending = open_tasks - executing
        result.append(Counts(total, total_known, succeeded, failed, skipped, upstream, executing, pending))
    return tuple(result)


def open_tasks_of(definition: PipelineDefinition, steps: Sequence[StepCounts]) -> list[tuple[int, int]]:
    """By step: how many of its tasks have not ended, and how many items left the line before it."""
    left_line: dict[int, int] = {}
    result = []
    for (_, _, total, _, succeeded, failed, skipped, *_), line in zip(steps, definition.lines, strict=True):
        upstream = left_line.get(line, 0)
        left_line[line] = left = upstream + failed + skipped
        result.append((max(0, total - succeeded - left), upstream))
    return result


def job_counts(definition: PipelineDefinition, counts: Sequence[Counts]) -> Counts:
    """What a person means by "228 of 313": items of the item line, or the steps of a pipeline without items."""
    line = [counts[position] for position in definition.item_steps]
    if definition.item_line == 0:
        failed, upstream = sum(count.failed for count in line), sum(count.upstream for count in line)
        pending = sum(count.pending for count in line)
        return Counts(
            total=len(line),
            total_known=True,
            succeeded=sum(count.succeeded for count in line),
            failed=failed,
            skipped=sum(count.skipped for count in line),
            upstream=0 if failed else upstream,
            in_flight=sum(count.in_flight for count in line),
            # Behind one that failed they wait for it to run again.
            pending=pending + upstream if failed else pending,
        )
    if not line:
        return Counts(0, True, 0, 0, 0, 0, 0, 0)
    failed = skipped = in_flight = 0
    for count in line:
        failed += count.failed
        skipped += count.skipped
        in_flight += count.in_flight
    total, succeeded = line[0].total, line[-1].succeeded
    in_flight = min(in_flight, total - succeeded - failed - skipped)
    pending = total - succeeded - failed - skipped - in_flight
    return Counts(total, line[0].total_known, succeeded, failed, skipped, 0, in_flight, pending)


def job_outcomes(definition: PipelineDefinition, steps: Sequence[StepCounts]) -> tuple[LabelCount, ...]:
    """Where the items of the item line ended, by label; adds up to what is processed."""
    line = definition.item_steps
    total: dict[tuple[Outcome, str], int] = {}
    for position in line:
        leave_all = position == line[-1] or definition.item_line == 0
        for entry in steps[position].labels:
            if leave_all or entry.outcome is not Outcome.SUCCEEDED:
                key = (entry.outcome, entry.label)
                total[key] = total.get(key, 0) + entry.count
    return tuple(LabelCount(outcome, label, count) for (outcome, label), count in sorted(total.items()) if count)


def remaining(definition: PipelineDefinition, steps: Sequence[StepCounts]) -> int:
    """Tasks that can still be executed; 0 exactly when nothing is left to do."""
    return sum(count.remaining for count in step_counts(definition, steps, {}))


def recorded(steps: Sequence[StepCounts]) -> int:
    """Tasks with a record."""
    return sum(step.succeeded + step.failed + step.skipped for step in steps)


def is_open(definition: PipelineDefinition, steps: Sequence[StepCounts], position: int) -> bool:
    """Whether tasks of this step may start now: a gated step waits until every step before it has ended."""
    if not definition.is_gated(position):
        return True
    before = step_counts(definition, steps, {})[:position]
    return all(count.remaining == 0 and count.total_known for count in before)


def percent(counts: Sequence[Counts]) -> float:
    """0 to 100, of what can still arrive at these steps; 100 only when nothing remains, 0 where all left before."""
    possible = processed = gone = 0
    known = True
    for total, total_known, succeeded, failed, skipped, upstream, _, _ in counts:
        possible += total - upstream
        processed += succeeded + failed + skipped
        gone += upstream
        known = known and total_known
    if not known:
        # The rest of the input is unknown: what is known must not look like all of it.
        possible = max(possible, processed + 1)
    if not possible:
        return 0.0 if gone else 100.0
    return 100.0 * processed / possible


def job_percent(definition: PipelineDefinition, counts: Sequence[Counts]) -> float:
    """Over all tasks but the enumeration of items, so that one-item steps count as steps.

    What the whole job needs and has failed is still to be done, as what is behind it: no failed job looks finished.
    """
    if any(counts[position].failed for position in definition.root_steps):
        counts = [
            count._replace(failed=0, upstream=0) if shape.line == 0 else count
            for shape, count in zip(definition.steps, counts, strict=True)
        ]
    return percent([counts[position] for position in definition.counted_steps])


def rate(samples: Sequence[Sample], now: float) -> float:
    """Processed per second over the window that ends now; 0 without enough history. Samples are in order of time."""
    within = bisect_left(samples, (now - RATE_WINDOW,))
    if within == len(samples):
        return 0.0
    first = samples[within]
    span = now - first.time
    return (samples[-1].processed - first.processed) / span if span >= RATE_MINIMUM else 0.0


def job_rate(definition: PipelineDefinition, counts: Sequence[Counts], rates: Sequence[float]) -> float:
    """Items (or steps of a pipeline without items) processed per second; `rates`: by step.

    An item is processed where it leaves its line: at the last step every one does, before it those that fail or are
    skipped, as far as we know in the share that did so until now.
    """
    line = definition.item_steps
    total = 0.0
    for position in line:
        if rates[position] and (processed := counts[position].processed):
            all_leave = position == line[-1] or definition.item_line == 0
            left = processed if all_leave else counts[position].failed + counts[position].skipped
            total += rates[position] * left / processed
    return total


def job_eta(definition: PipelineDefinition, counts: Sequence[Counts], rates: Sequence[float]) -> float | None:
    """As `eta`, by tasks, because a pipeline with barriers processes no item for a long time."""
    tasks_per_second = 0.0
    for position in definition.counted_steps:
        tasks_per_second += rates[position]
    if tasks_per_second <= 0:
        return None
    tasks = 0
    for position in definition.counted_steps:
        tasks += counts[position].pending + counts[position].in_flight
    return tasks / tasks_per_second if tasks and all(map(_total_known, counts)) else None


class Span(NamedTuple):
    """From a time until another, in Unix seconds."""

    start: float
    end: float


def seconds_at_work(since: float, until: float, runs: Sequence[Span]) -> float:
    """How much of this time some run was going on: a pause is no work. Runs do not overlap."""
    total = 0.0
    for start, end in runs:
        total += max(0.0, min(end, until) - max(start, since))
    return total


def eta(counts: Counts, items_per_second: float) -> float | None:
    """Seconds until nothing remains; None until the total is known and something moves."""
    remaining = counts.pending + counts.in_flight
    if not counts.total_known or items_per_second <= 0 or remaining == 0:
        return None
    return remaining / items_per_second
