"""Metrics of a job beside the same computed in plain Python from what was reported."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from milepost.core.metrics import MAX_POINTS, Summary
from milepost.core.model import JobState, Report, ReportKind
from milepost.daemon.store import metrics, tasks
from milepost.daemon.store.metrics import Metrics
from milepost.daemon.store.store import Store
from tests.store.test_reports import Bench, bench_with
from tests.support import factories
from tests.support.factories import NOW, failed, report, succeeded

LIFE = 600.0


def _at(told: Report, chance: random.Random) -> Report:
    """The report, of an execution of some length at some time of the job's life; a few are without any length."""
    seconds = 0.0 if chance.random() < 0.05 else chance.lognormvariate(0, 2)
    end = NOW + chance.random() * LIFE
    return told._replace(start_time=end - seconds, end_time=end)


def _seconds(told: Sequence[Report]) -> list[float]:
    return sorted(report.end_time - report.start_time for report in told)


def _assert_close(found: Summary, seconds: Sequence[float]) -> None:
    assert found.count == len(seconds) == sum(bucket.count for bucket in found.buckets)
    assert found.mean == pytest.approx(sum(seconds) / len(seconds))
    assert (found.shortest, found.longest) == (seconds[0], seconds[-1])
    for percent, value in ((50, found.p50), (90, found.p90), (99, found.p99)):
        exact = seconds[math.ceil(len(seconds) * percent / 100) - 1]
        assert exact <= value * (1 + 1e-9)
        assert value <= max(exact * 1.1, 0.001) * (1 + 1e-9)
        assert value <= found.longest
    lower = -math.inf
    for bucket in found.buckets:
        assert bucket.count == sum(lower < value * (1 - 1e-9) <= bucket.upper for value in seconds)
        lower = bucket.upper


@pytest.fixture
async def bench(store: Store) -> Bench:
    keys = [f"k{number}" for number in range(300)]
    return await bench_with(store, factories.creators(attempts=2), [*keys, "k0"])


async def _metrics(bench: Bench, now: float = NOW + LIFE, **values: object) -> Metrics:
    job = replace(await bench.job(), start_time=NOW, state=JobState.RUNNING, **values)  # type: ignore[arg-type]
    return await bench.store.read(lambda db: metrics.metrics(db, job, now))


async def test_durations_failures_and_throughput(bench: Bench) -> None:
    chance = random.Random(7)
    fetched = [_at(succeeded(1, item), chance) for item in range(1, 251)]
    skipped = [_at(report(ReportKind.SKIPPED, 1, item), chance) for item in range(251, 271)]
    first = [
        _at(failed(1, item, error_class=chance.choice(["network", "timeout"])), chance) for item in range(271, 291)
    ]
    again = [_at(failed(1, item, epoch=1, error_class="timeout"), chance) for item in range(271, 281)]
    await bench.apply(*fetched, *skipped, *first)
    await bench.store.write(lambda tx: tasks.release_due(tx, NOW + 3600))
    await bench.apply(*again)
    found = await _metrics(bench)

    _assert_close(found.executions[1], _seconds([*fetched, *skipped]))
    _assert_close(found.failed_attempts[1], _seconds([*first, *again]))
    assert set(found.executions) == {0, 1}
    classes = Counter(told.failure.error_class for told in (*first, *again) if told.failure)
    assert dict(found.failures) == classes
    assert [count for _, count in found.failures] == sorted(classes.values(), reverse=True)

    assert found.timeline is not None
    assert (found.timeline.start, found.timeline.width, found.timeline.points) == (NOW, LIFE / MAX_POINTS, MAX_POINTS)
    points = Counter(int((told.end_time - NOW) // (LIFE / MAX_POINTS)) for told in (*fetched, *skipped, *again))
    points[0] += 2  # the rows themselves, and the duplicate
    assert {point: count for point, count in enumerate(found.processed) if count} == points


async def test_what_no_clock_explains_stays_within_the_life_of_the_job(bench: Bench) -> None:
    times = ((NOW - 5, NOW - 4), (NOW + 9, NOW + 8), (NOW + LIFE, NOW + LIFE + 5))
    told = [succeeded(1, item)._replace(start_time=start, end_time=end) for item, (start, end) in enumerate(times, 1)]
    await bench.apply(*told)
    found = await _metrics(bench)
    assert (found.executions[1].shortest, found.executions[1].count) == (0.0, 3)
    assert (found.processed[0], found.processed[-1], sum(found.processed)) == (3, 1, 5)


@pytest.mark.parametrize(("life", "points"), [(0.0, 1), (1.5, 2), (119.5, 120), (86_400.0, 120)])
async def test_points_are_no_shorter_than_they_can_be_read(bench: Bench, life: float, points: int) -> None:
    found = await _metrics(bench, NOW + life)
    assert found.timeline is not None
    assert (found.timeline.points, len(found.processed)) == (points, points)


async def test_a_job_that_has_not_started(store: Store) -> None:
    bench = await bench_with(store, factories.creators())
    job = await bench.job()
    found = await store.read(lambda db: metrics.metrics(db, job, NOW))
    assert found == Metrics({}, {}, (), None, ())
