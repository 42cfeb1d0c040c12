"""How long executions took and how many there were over time, from counts in buckets.

Buckets of durations are logarithmic: bucket n ends at SMALLEST x GROWTH^n, and the first one, 0, holds all that is
shorter. A percentile is the end of the bucket that the nearest-rank percentile falls into, within the least and the
most that was measured: so it is never below the true value, and at most GROWTH times as large (or SMALLEST).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from milepost.core.model import ACTIVE_STATES, Job

#: Seconds.
SMALLEST = 0.001
GROWTH = 1.1
MAX_POINTS = 120
#: Seconds that a point of the throughput covers at least.
MIN_WIDTH = 1.0


@dataclass(frozen=True)
class Bucket:
    """Executions of one bucket; `total`, `shortest` and `longest` in seconds."""

    number: int
    count: int
    total: float
    shortest: float
    longest: float

    @property
    def upper(self) -> float:
        """Where it ends, in seconds."""
        return SMALLEST * GROWTH**self.number


@dataclass(frozen=True)
class Summary:
    """Of durations in seconds; all 0 when there are none. `buckets`: shortest first, none of them empty."""

    count: int = 0
    mean: float = 0.0
    shortest: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    buckets: tuple[Bucket, ...] = ()


def summary(buckets: Iterable[Bucket]) -> Summary:
    """Of buckets in any order; those of the same number are put together."""
    merged: dict[int, Bucket] = {}
    for bucket in buckets:
        known = merged.get(bucket.number)
        merged[bucket.number] = bucket if known is None else _together(known, bucket)
    ordered = tuple(merged[number] for number in sorted(merged))
    if not ordered:
        return Summary()
    count = sum(bucket.count for bucket in ordered)
    return Summary(
        count=count,
        mean=math.fsum(bucket.total for bucket in ordered) / count,
        shortest=ordered[0].shortest,
        p50=_percentile(ordered, count, 50),
        p90=_percentile(ordered, count, 90),
        p99=_percentile(ordered, count, 99),
        longest=ordered[-1].longest,
        buckets=ordered,
    )


def _together(one: Bucket, other: Bucket) -> Bucket:
    return Bucket(
        one.number,
        one.count + other.count,
        one.total + other.total,
        min(one.shortest, other.shortest),
        max(one.longest, other.longest),
    )


def _percentile(ordered: tuple[Bucket, ...], count: int, percent: int) -> float:
    rank = -(-count * percent // 100)
    seen = 0
    for bucket in ordered:
        seen += bucket.count
        if seen >= rank:
            return min(bucket.upper, bucket.longest)
    raise AssertionError("the counts of the buckets do not add up")


@dataclass(frozen=True)
class Timeline:
    """The life of a job in `points` parts of the same `width` in seconds, from `start` (Unix seconds) on."""

    start: float
    width: float
    points: int


def timeline(job: Job, now: float) -> Timeline | None:
    """From its first start until it ended, or stood still, or now. None when it has not started."""
    if job.start_time is None:
        return None
    end = job.end_time or (now if job.state in ACTIVE_STATES else job.activity_time)
    span = max(end - job.start_time, MIN_WIDTH)
    points = min(MAX_POINTS, math.ceil(span / MIN_WIDTH))
    return Timeline(job.start_time, span / points, points)
