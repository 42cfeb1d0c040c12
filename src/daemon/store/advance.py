"""How a job got on by a commit that recorded tasks of it and changed nothing else, and what it is then.

Who holds the job as it was before need not read it again. Whatever else a commit does to a job is not told this way.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from milepost.core.model import Job, LabelCount, Outcome, StepCounts

#: By step, outcome and label: how many more tasks have it.
Records = Mapping[tuple[int, Outcome, str], int]


@dataclass(frozen=True)
class Advance:
    """`before`, `revision`: of the job, until this commit and from it on; `time`: of the commit (Unix seconds).

    `steps`: as they are then, without their labels.
    """

    before: int
    revision: int
    time: float
    steps: tuple[StepCounts, ...]
    records: Records

    def joined(self, later: "Advance") -> "Advance":
        """With another one of the same commit."""
        records = Counter(self.records)
        records.update(later.records)
        return replace(later, before=self.before, time=max(self.time, later.time), records=records)


def advanced(job: Job, advances: Sequence[Advance]) -> Job | None:
    """The job after these, of which it may have some already. None when one between is missing: it must be read."""
    for advance in advances:
        if advance.revision <= job.revision:
            continue
        if advance.before != job.revision:
            return None
        job = _after(job, advance)
    return job


def _after(job: Job, advance: Advance) -> Job:
    """As by `dataclasses.replace`, which sets all of the forty fields by a call each."""
    after = object.__new__(Job)
    after.__dict__.update(
        job.__dict__,
        revision=advance.revision,
        activity_time=max(job.activity_time, advance.time),
        steps=_counted(job.steps, advance),
    )
    return after


def _counted(before: Sequence[StepCounts], advance: Advance) -> tuple[StepCounts, ...]:
    """The same values for those that stay as they are."""
    records: dict[int, dict[tuple[Outcome, str], int]] = {}
    for (position, outcome, label), number in advance.records.items():
        records.setdefault(position, {})[outcome, label] = number
    steps = []
    for step, now in zip(before, advance.steps, strict=True):
        labels = _labelled(step.labels, records[step.position]) if step.position in records else step.labels
        after = now._replace(labels=labels) if labels else now
        steps.append(step if after == step else after)
    return tuple(steps)


def _labelled(labels: Sequence[LabelCount], more: Mapping[tuple[Outcome, str], int]) -> tuple[LabelCount, ...]:
    """In the order in which the store gives them."""
    counts = {(outcome, label): count for outcome, label, count in labels}
    for key, number in more.items():
        counts[key] = counts.get(key, 0) + number
    return tuple([LabelCount(*key, count) for key, count in sorted(counts.items()) if count > 0])
