"""What a job's records and failed attempts come to, in three passes: durations by step, failures, throughput."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from milepost.core.metrics import GROWTH, SMALLEST, Bucket, Summary, Timeline, summary, timeline
from milepost.core.model import Job
from milepost.daemon.store.queries import load

_QUERIES = load("metrics")


@dataclass(frozen=True)
class Metrics:
    """By step position: executions that succeeded or were skipped, and attempts that failed; steps without have none.

    `failures`: attempts by class, most first. `processed`: tasks recorded in each point of the `timeline`.
    """

    executions: Mapping[int, Summary]
    failed_attempts: Mapping[int, Summary]
    failures: tuple[tuple[str, int], ...]
    timeline: Timeline | None
    processed: tuple[int, ...]


def metrics(db: sqlite3.Connection, job: Job, now: float) -> Metrics:
    place = {"job": job.sequence, "smallest": SMALLEST, "growth": GROWTH}
    executions = db.execute(_QUERIES.executions, place).fetchall()
    failed = db.execute(_QUERIES.failed_attempts, place).fetchall()
    failures: Counter[str] = Counter()
    for row in failed:
        failures[row["error_class"]] += row["count"]
    over = timeline(job, now)
    return Metrics(
        executions=_summaries(executions),
        failed_attempts=_summaries(failed),
        failures=tuple(sorted(failures.items(), key=lambda entry: (-entry[1], entry[0]))),
        timeline=over,
        processed=() if over is None else _processed(db, job.sequence, over),
    )


def _summaries(found: Iterable[sqlite3.Row]) -> dict[int, Summary]:
    buckets: dict[int, list[Bucket]] = defaultdict(list)
    for row in found:
        buckets[row["step"]].append(
            Bucket(row["bucket"], row["count"], row["total"], row["shortest"], row["longest"]),
        )
    return {step: summary(of_step) for step, of_step in buckets.items()}


def _processed(db: sqlite3.Connection, sequence: int, over: Timeline) -> tuple[int, ...]:
    place = {"job": sequence, "start": over.start, "width": over.width, "points": over.points}
    counts = {row["point"]: row["processed"] for row in db.execute(_QUERIES.throughput, place).fetchall()}
    return tuple(counts.get(point, 0) for point in range(over.points))
